import { SFNClient } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import { type BackupBody, BackupBucketView, executionOf, inDatabaseOf, inRegistry } from './backup-runs.ts';
import { administrator } from './platform-databases.ts';
import { call, onboardOwnTenant, operatorToken, platform } from './running-platform.ts';

/*
 * It backs up the tenants of all other files too. So it runs first, while there are few (vitest.config.ts).
 */

const states = new SFNClient(administrator(platform().awsUrl));
const bucket = new BackupBucketView();
let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

/** Runs the schedule by the command line and waits for the end of the execution that it started. */
async function runFleet() {
  const environment = { AWS_ENDPOINT_URL: platform().awsUrl };
  const { code, out, error } = await strata(['tick', 'fleet-backup'], environment);
  expect([code, error]).toEqual([0, '']);
  expect(out.trim()).toMatch(/^✔ strata-us-fleet-backup {2}.* {2}started \S+$/);
  return executionOf(states, out.trim().split(' ').at(-1) as string);
}

async function backupsOf(slug: string): Promise<BackupBody[]> {
  return (await call('GET', `/tenants/${slug}/backups`, { token })).body.items;
}

const outcomes = (backups: readonly BackupBody[]) => backups.map(({ status }) => status);

test('a daily run backs up every tenant that is due; one that fails is named and blocks nobody; expired ones go', async () => {
  const [starter, damaged, business] = await Promise.all([
    onboardOwnTenant(),
    onboardOwnTenant({ tier: 'business' }),
    onboardOwnTenant({ tier: 'business' }),
  ]);
  const { body: broken } = await call('GET', `/tenants/${damaged}`, { token });
  await inDatabaseOf(broken.tenantId, (schema) => `ALTER TABLE ${schema}.skills RENAME TO skills_gone`);

  const first = await runFleet();

  expect(first).toMatchObject({ status: 'FAILED', error: 'FleetIncomplete' });
  expect(first.cause).toContain(broken.tenantId);
  for (const slug of [starter, business, 'initech', 'globex', 'acme']) {
    const backups = await backupsOf(slug);
    expect(outcomes(backups), slug).toContain('succeeded');
  }
  const [old] = await backupsOf(starter);
  expect(old).toMatchObject({ status: 'succeeded', startedBy: 'schedule' });
  const [failed, ...others] = await backupsOf(damaged);
  expect(others).toEqual([]);
  expect(failed).toMatchObject({ status: 'failed', startedBy: 'schedule', reason: expect.any(String) });

  await inDatabaseOf(broken.tenantId, (schema) => `ALTER TABLE ${schema}.skills_gone RENAME TO skills`);
  const prefix = `tenant-backups/starter/${old.tenantId}/${old.backupId}/`;
  expect(await bucket.objects(prefix)).toContain(`${prefix}manifest.json`);
  await inRegistry(`UPDATE tenant_backups SET expires_at = now() WHERE backup_id = $1`, [old.backupId]);
  // From now on it is not shown, though its objects are still there.
  expect(await backupsOf(starter)).toEqual([]);
  const path = `/tenants/${starter}/backups/${old.backupId}`;
  expect((await call('GET', path, { token })).status).toBe(404);

  await runFleet();

  expect(await bucket.objects(prefix)).toEqual([]);
  expect(await inRegistry('SELECT FROM tenant_backups WHERE backup_id = $1', [old.backupId])).toEqual([]);
  // It is due again without the one that has expired; so is the one that failed; the others are not.
  expect(outcomes(await backupsOf(starter))).toEqual(['succeeded']);
  expect(outcomes(await backupsOf(damaged))).toEqual(['failed', 'succeeded']);
  expect(outcomes(await backupsOf(business))).toEqual(['succeeded']);
}, 180_000);
