/** The audit log over HTTP on the running platform: sealed by its schedule, through moves and a restore. */
import { SFNClient } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from 'vitest';
import { sampled } from '../full-run.ts';
import { strata } from '../infra/cli/run-command.ts';
import { BackupBucketView, executionOf, inDatabaseOf } from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { backUp, restore } from './restore-runs.ts';
import { call, newEmployee, platform, userToken } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));
let tenant: MovingTenant;
let admin: string;

beforeAll(async () => {
  tenant = await MovingTenant.create();
  admin = await userToken(tenant.slug);
});

/** Runs a schedule by the command line and waits for the end of its execution. */
async function tick(name: string) {
  const { code, out, error } = await strata(['tick', name], { AWS_ENDPOINT_URL: platform().awsUrl });
  expect([code, error]).toEqual([0, '']);
  return executionOf(states, out.trim().split(' ').at(-1)!);
}

const own = (tenantId: string, schema: string) =>
  schema === 'shared' ? `tenant_id = '${tenantId}'` : 'true';

/** Makes the entries that are not sealed yet old enough, and seals them. */
async function seal() {
  const { tenantId } = tenant;
  await inDatabaseOf(
    tenantId,
    (schema) => `UPDATE ${schema}.audit_log SET created_at = created_at - interval '61 seconds'
      WHERE ${own(tenantId, schema)} AND created_at > coalesce(
        (SELECT max(sealed_until) FROM ${schema}.audit_seals WHERE ${own(tenantId, schema)}), '-infinity')`,
  );
  await tick('audit-sealing');
}

const verification = async (as = admin) => (await call('GET', '/audit-log/verification', { token: as })).body;
const hire = () => call('POST', '/employees', { token: admin, body: newEmployee() });

/** What the verification says of a whole log. */
const whole = { status: 'intact', firstBroken: null, expired: 0, nextCursor: null };

/** A reshape up and down, or also a relocate to a database of its own and back. */
const UP = sampled('business', 'enterprise');

test(`a log stays whole through a move to ${UP} and back`, async () => {
  for (let n = 0; n < 3; n++) await hire();
  await seal();
  expect(await verification()).toMatchObject({ ...whole, seals: 1, entries: 3, unsealed: 0 });
  expect(await tenant.move({ targetTier: UP })).toMatchObject({ status: 'succeeded' });
  expect(await verification()).toMatchObject({ ...whole, seals: 1, entries: 3 });
  await hire();
  await seal();
  expect(await verification()).toMatchObject({ ...whole, entries: 4 });
  expect(await tenant.move({ targetTier: 'starter', force: true })).toMatchObject({ status: 'succeeded' });
  expect(await verification()).toMatchObject({ ...whole, entries: 4 });
});

test('it stays whole through a restore, and each seal has its copy', async () => {
  const { backupId } = await backUp(tenant.slug);
  await hire();
  await seal();
  const before = await verification();
  expect(before).toMatchObject({ ...whole, entries: 5 });
  expect((await restore(tenant.slug, { backupId, mode: 'replace' })).status).toBe('succeeded');
  expect(await verification()).toEqual(before);
  const copies = await new BackupBucketView().objects(`audit-seals/${tenant.tenantId}/`);
  expect(copies).toHaveLength(before.seals);
});

test('what a superuser changes is named, at once and by the schedule', async () => {
  const changed = (await call('GET', '/audit-log?sort=createdAt&limit=1', { token: admin })).body.items[0];
  await inDatabaseOf(
    tenant.tenantId,
    (schema) =>
      `UPDATE ${schema}.audit_log SET actor = 'user:eve@example.test' WHERE log_id = '${changed.logId}'`,
  );
  const firstBroken = { what: 'entry', how: 'altered', sequence: 1, logId: changed.logId };
  expect(await verification()).toMatchObject({ status: 'broken', firstBroken, lastScheduled: null });

  await tick('audit-verification');

  const { lastScheduled } = await verification();
  expect(lastScheduled).toMatchObject({ status: 'broken', firstBroken });
  const viewer = await userToken(tenant.slug, 'viewer');
  for (const path of ['/audit-log', '/audit-log/verification'])
    expect((await call('GET', path, { token: viewer })).status).toBe(403);
});
