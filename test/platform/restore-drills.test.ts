import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import { BackupBucketView, executionOf, inRegistry } from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { administrator, inDatabases } from './platform-databases.ts';
import { backUp } from './restore-runs.ts';
import { call, operatorToken, platform } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));
const bucket = new BackupBucketView();
let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

/** Runs the schedule by the command line and waits for the end of the execution that it started. */
async function runDrills() {
  const { code, out, error } = await strata(['tick', 'restore-drills'], {
    AWS_ENDPOINT_URL: platform().awsUrl,
  });
  expect([code, error]).toEqual([0, '']);
  return executionOf(states, out.trim().split(' ').at(-1) as string);
}

const drillSchemas = () =>
  inDatabases(platform(), `SELECT nspname FROM pg_namespace WHERE nspname ~ '_d[0-9a-f]{8}$'`);

test('drills restore the latest backup of each tenant and drop it again; a damaged one is named', async () => {
  const [starter, business, damaged] = await Promise.all([
    MovingTenant.create(),
    MovingTenant.create({ tier: 'business' }),
    MovingTenant.create({ tier: 'business' }),
  ]);
  const [ofStarter, ofBusiness, ofDamaged] = await Promise.all([
    backUp(starter.slug),
    backUp(business.slug),
    backUp(damaged.slug),
  ]);
  // Only these are due, whatever other tests do.
  const own = [starter, business, damaged].map(({ tenantId }) => tenantId);
  const leaveOthers = () =>
    inRegistry(
      `UPDATE tenants SET last_drill = jsonb_build_object('status', 'passed', 'at', now()) WHERE tenant_id <> ALL ($1)`,
      [own],
    );
  await leaveOthers();
  const prefix = `tenant-backups/business/${damaged.tenantId}/${ofDamaged.backupId}/`;
  const part = (await bucket.objects(prefix)).find((key) => key.endsWith('.zst')) as string;
  await bucket.client.send(new DeleteObjectCommand({ Bucket: await bucket.name(), Key: part }));

  const run = await runDrills();

  expect(run).toMatchObject({ status: 'FAILED', error: 'DrillsFailed' });
  expect(run.cause).toContain(damaged.tenantId);
  expect(run.cause).not.toContain(starter.tenantId);
  const drillOf = async (tenant: MovingTenant, backupId: string) => {
    const { body } = await call('GET', `/tenants/${tenant.slug}/backups`, { token });
    const backup = body.items.find((one: { backupId: string }) => one.backupId === backupId);
    expect(body.lastDrill).toEqual(backup.lastDrill);
    return backup.lastDrill;
  };
  expect(await drillOf(business, ofBusiness.backupId)).toMatchObject({ status: 'passed' });
  expect(await drillOf(damaged, ofDamaged.backupId)).toMatchObject({
    status: 'failed',
    reason: `An object of the backup is missing: ${part}.`,
  });
  const passed = await drillOf(starter, ofStarter.backupId);
  expect(passed).toMatchObject({ status: 'passed' });
  expect(await drillSchemas()).toEqual([]);

  // What has passed is not due for a month; what has failed is, and the next backup makes it good.
  const again = await backUp(damaged.slug);
  await leaveOthers();
  expect(await runDrills()).toMatchObject({ status: 'SUCCEEDED' });
  expect(await drillOf(damaged, again.backupId)).toMatchObject({ status: 'passed' });
  expect(await drillOf(starter, ofStarter.backupId)).toEqual(passed);
}, 120_000);
