/** The audit log over HTTP on the running platform: sealed by its schedule, through moves, a restore and a clone. */
import { SFNClient } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import { BackupBucketView, executionOf, inDatabaseOf } from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { askRestore, backUp, restore, restoreEnded } from './restore-runs.ts';
import { call, newEmployee, operatorToken, platform, token, unique, userToken } from './running-platform.ts';

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
async function seal(tenantId = tenant.tenantId) {
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

test('a log stays whole through moves up and down, and through a restore', async () => {
  for (let n = 0; n < 3; n++) await hire();
  await seal();
  expect(await verification()).toMatchObject({ status: 'intact', seals: 1, entries: 3, unsealed: 0 });

  // A reshape and a relocate, up and later down.
  expect(await tenant.move({ targetTier: 'enterprise' })).toMatchObject({ status: 'succeeded' });
  expect(await verification()).toMatchObject({ status: 'intact', seals: 1, entries: 3 });
  const { backupId } = await backUp(tenant.slug);
  await hire();
  await seal();
  const sealed = { status: 'intact', firstBroken: null, expired: 0, nextCursor: null };
  expect(await verification()).toMatchObject({ ...sealed, entries: 4 });
  const { seals } = await verification();

  const restored = await restore(tenant.slug, { backupId, mode: 'replace' });
  expect(restored.status).toBe('succeeded');
  expect(await verification()).toMatchObject({ ...sealed, seals, entries: 4 });

  expect(await tenant.move({ targetTier: 'starter', force: true })).toMatchObject({ status: 'succeeded' });
  await hire();
  await seal();
  expect(await verification()).toMatchObject({ ...sealed, entries: 5 });
  const after = (await verification()).seals;
  expect(after).toBeGreaterThan(seals);
  const copies = await new BackupBucketView().objects(`audit-seals/${tenant.tenantId}/`);
  expect(copies).toHaveLength(after);

  // A clone is another tenant: its chain begins anew, over the entries that it got.
  const slug = unique('clone');
  const body = {
    backupId: (await backUp(tenant.slug)).backupId,
    mode: 'clone',
    slug,
    adminEmail: `admin@${slug}.test`,
  };
  const asked = await askRestore(tenant.slug, body);
  expect((await restoreEnded(String(asked.headers.get('location')))).status).toBe('succeeded');
  const { tenantId } = (await call('GET', `/tenants/${slug}`, { token: await operatorToken() })).body;
  const cloneAdmin = await token('--tenant', slug, '--user', `admin@${slug}.test`);
  expect(await verification(cloneAdmin)).toMatchObject({ seals: 0, entries: 0 });
  await seal(tenantId);
  expect(await verification(cloneAdmin)).toMatchObject({ ...sealed, seals: 1, entries: 5 });
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
