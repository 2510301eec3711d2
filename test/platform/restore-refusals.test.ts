import { beforeAll, describe, expect, test, vi } from 'vitest';
import { databaseOf, inRegistry } from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { askRestore, backUp, restore, restoreEnded } from './restore-runs.ts';
import { ASK_EVERY_MS, call, operatorToken, unique, userToken } from './running-platform.ts';

const MISSING = '00000000-0000-4000-8000-000000000000';

let token: string;
let tenant: MovingTenant;
let backupId: string;
beforeAll(async () => {
  token = await operatorToken();
  tenant = await MovingTenant.create({ tier: 'business' });
  ({ backupId } = await backUp(tenant.slug));
});

describe('a request for a restore is refused', () => {
  const clone = { mode: 'clone', slug: 'new-slug', adminEmail: 'admin@new.test' };
  test.each<[string, unknown, string[]]>([
    ['without a backup', {}, ['/backupId']],
    ['with a malformed backup', { backupId: 'latest' }, ['/backupId']],
    ['with an unknown mode', { backupId: MISSING, mode: 'merge' }, ['/mode']],
    ['with an unknown field', { backupId: MISSING, dryRun: true }, ['/dryRun']],
    ['of a clone without slug and address', { backupId: MISSING, mode: 'clone' }, ['/slug', '/adminEmail']],
    ['with a mask of what is replaced', { backupId: MISSING, mask: true }, ['/mask']],
    ['with a mask that is no boolean', { backupId: MISSING, ...clone, mask: 'yes' }, ['/mask']],
    ['that is a list', [], ['']],
  ])('%s: 400', async (_what, body, pointers) => {
    const answer = await askRestore(tenant.slug, body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(400);
    expect(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(pointers);
  });

  test.each(['Not A Slug', 'api', '-x'])('of a clone with the slug %j: 400', async (slug) => {
    const answer = await askRestore(tenant.slug, { backupId, ...clone, slug });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toMatchObject([{ pointer: '/slug' }]);
  });

  test('of a backup that is unknown, another tenant’s, or expired: 404, and no tenant is made for a clone', async () => {
    const other = await MovingTenant.create();
    const { backupId: expired } = await backUp(tenant.slug);
    await inRegistry(
      "UPDATE tenant_backups SET expires_at = now() - interval '1 second' WHERE backup_id = $1",
      [expired],
    );
    const slug = unique('no-clone');
    for (const [of, id] of [
      [tenant.slug, MISSING],
      [other.slug, backupId],
      [tenant.slug, expired],
    ] as const) {
      expect((await askRestore(of, { backupId: id })).status).toBe(404);
      expect((await askRestore(of, { backupId: id, ...clone, slug })).status).toBe(404);
    }
    expect((await call('GET', `/tenants/${slug}`, { token })).status).toBe(404);
    expect((await askRestore('nobody', { backupId })).status).toBe(404);
    expect((await askRestore(tenant.slug, {}, { undoOf: MISSING })).status).toBe(404);
  });

  test('of a tenant’s user: 403', async () => {
    const user = await userToken('initech');
    const path = '/tenants/initech/restores';
    expect((await call('POST', path, { token: user, body: { backupId } })).status).toBe(403);
    expect((await call('GET', path, { token: user })).status).toBe(403);
  });

  test('into a slug that is taken: 409', async () => {
    const answer = await askRestore(tenant.slug, { backupId, ...clone, slug: 'initech' });
    expect(answer.status).toBe(409);
  });
});

/** Locks a table until the connection ends, so that what copies it waits. */
async function lock(tenantId: string, table: string) {
  const { client, schema } = await databaseOf(tenantId);
  await client.query(`BEGIN; LOCK TABLE ${schema}.${table} IN ACCESS EXCLUSIVE MODE`);
  return client;
}

const begun = (location: string) =>
  vi.waitUntil(async () => (await call('GET', location, { token })).body.phase !== 'planned', {
    timeout: 30_000,
    interval: ASK_EVERY_MS,
  });

test('a restore and a move, or two restores, of one tenant exclude each other: 409', async () => {
  const held = await lock(tenant.tenantId, 'audit_log');
  let restoring: string;
  try {
    const asked = await askRestore(tenant.slug, { backupId });
    expect(asked.status).toBe(202);
    restoring = String(asked.headers.get('location'));
    await begun(restoring);
    // The rows of a tenant that goes up to Enterprise are not counted first: the lock would hold the request up.
    expect((await tenant.ask({ targetTier: 'enterprise' })).status).toBe(409);
    expect((await askRestore(tenant.slug, { backupId })).status).toBe(409);
    expect((await askRestore(tenant.slug, {}, { undoOf: asked.body.restoreId })).status).toBe(409);
    expect((await call('GET', restoring, { token })).body).toMatchObject({ status: 'running' });
  } finally {
    await held.end();
  }
  expect(await restoreEnded(restoring)).toMatchObject({ status: 'succeeded', reason: null });

  const moving = await MovingTenant.create({ tier: 'business' });
  const { backupId: own } = await backUp(moving.slug);
  const heldMove = await lock(moving.tenantId, 'audit_log');
  let move: string;
  try {
    const { cellId } = await moving.tenant();
    const asked = await moving.ask({ targetCell: cellId === 'us-1' ? 'us-2' : 'us-1' });
    expect(asked.status, JSON.stringify(asked.body)).toBe(202);
    move = String(asked.headers.get('location'));
    const refused = await askRestore(moving.slug, { backupId: own });
    expect(refused.status).toBe(409);
    expect(refused.body.detail).toMatch(/moved or restored already/);
  } finally {
    await heldMove.end();
  }
  expect(await moving.ended(move)).toMatchObject({ status: 'succeeded' });
});

test('a request that is repeated under its key is one restore; another body under it is refused', async () => {
  const headers = { 'idempotency-key': unique('restore') };
  const first = await askRestore(tenant.slug, { backupId }, { headers });
  expect(first.status).toBe(202);
  const repeated = await askRestore(tenant.slug, { backupId }, { headers });
  expect([repeated.status, repeated.body.restoreId]).toEqual([202, first.body.restoreId]);
  const other = await askRestore(tenant.slug, { backupId, mode: 'replace' }, { headers });
  expect(other.status).toBe(422);
  expect(await restoreEnded(String(first.headers.get('location')))).toMatchObject({ status: 'succeeded' });
  const later = await askRestore(tenant.slug, { backupId }, { headers });
  expect(later.body.restoreId).toBe(first.body.restoreId);
});

test('a suspended tenant is restored, and stays suspended', async () => {
  const suspended = await MovingTenant.create({ tier: 'business' });
  const backup = await backUp(suspended.slug);
  const path = `/tenants/${suspended.slug}`;
  await call('PATCH', path, { token, body: { status: 'suspended' } });
  expect(await restore(suspended.slug, { backupId: backup.backupId })).toMatchObject({
    status: 'succeeded',
    reason: null,
  });
  expect((await call('GET', path, { token })).body).toMatchObject({ status: 'suspended', tier: 'business' });
});

test('an undo is refused by name after the grace period, and after a move: 409', async () => {
  const restored = await restore(tenant.slug, { backupId });
  await tenant.move({ targetTier: 'starter' });
  const refused = await askRestore(tenant.slug, {}, { undoOf: restored.restoreId });
  expect(refused.status).toBe(409);
  expect(refused.body.detail).toBe('The tenant was moved or restored after that restore.');
  await inRegistry("UPDATE tenant_move_hops SET state = 'cleaned' WHERE move_id = $1", [restored.restoreId]);
  const late = await askRestore(tenant.slug, {}, { undoOf: restored.restoreId });
  expect([late.status, late.body.detail]).toEqual([
    409,
    'The replaced rows are not kept any more: the grace period has ended.',
  ]);
});
