import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificateOf, certify, eraseRegistry } from '../../functions/offboarding/certify.ts';
import { TenantBusy } from '../../functions/offboarding/errors.ts';
import { beginErasure } from '../../functions/offboarding/offboarding-phases.ts';
import { findOffboarding, keepFound, mergeFact } from '../../functions/offboarding/offboarding-records.ts';
import { eraseOtherRegions } from '../../functions/offboarding/other-regions.ts';
import { clonesOfOtherRegions } from '../../functions/offboarding/other-work.ts';
import { requestOffboarding } from '../../functions/offboarding/request-offboarding.ts';
import { RegionUnavailable } from '../../functions/resources/errors.ts';
import { startTwoRegistries, type TwoRegistries } from './two-registries.ts';

const ACTOR = { id: 'execution', type: 'workflow' } as const;
const MACHINE = 'arn:aws:states:eu-west-1:1:stateMachine:tenant-offboarding';

let two: TwoRegistries;
beforeAll(async () => {
  two = await startTwoRegistries();
});
afterAll(() => two?.plane.stop());

async function put(key: 'us' | 'eu', tenantId: string, status: string, homeRegion: string): Promise<void> {
  await two[key].query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          data_residency, home_region)
     VALUES (:tenantId::uuid, :tenantId, :slug, 'schema', 'business', :status, :homeRegion, :homeRegion)`,
    { tenantId, slug: `t-${tenantId.slice(0, 13)}`, status, homeRegion },
  );
}

/** A tenant of `eu` that has been in `us`, with a backup there. */
async function addMoved(): Promise<string> {
  const tenantId = randomUUID();
  await put('eu', tenantId, 'active', 'eu');
  await put('us', tenantId, 'elsewhere', 'eu');
  await two.us.query(
    `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch, schema_version, prefix, started_by,
                                 status, finished_at, expires_at)
     VALUES (:tenantId::uuid, 'us', 'business', 'schema', 1, 6, 'x/', 'x', 'failed', now(), now() + interval '1 day')`,
    { tenantId },
  );
  return tenantId;
}

const erasing = async (tenantId: string) => {
  const offboardingId = await requestOffboarding(two.eu, tenantId, {
    actor: ACTOR,
    cause: 'request',
    executionArnOf: (name) => `arn:eu:${name}`,
    start: async () => {},
  });
  await beginErasure(two.eu, offboardingId, ACTOR);
  return offboardingId;
};

test('accounts that users had where the tenant was before are erased there; who came later was never there', async () => {
  const tenantId = await addMoved();
  const addUser = (name: string, joined: string, external: string | null = null) =>
    two.eu.query(
      `INSERT INTO tenant_users (tenant_id, email, role, created_at, external_auth_id)
       VALUES (:tenantId::uuid, :email, 'admin', cast(:joined as timestamptz), :external)`,
      { tenantId, email: `${name}@${tenantId}.test`, joined, external },
    );
  await addUser('there', '2026-01-01T00:00:00Z', `corp:${tenantId}`);
  await addUser('later', '2026-03-01T00:00:00Z');
  await two.us.query(
    `WITH m AS (INSERT INTO tenant_moves (tenant_id, input, plan, started_by, status, finished_at)
       VALUES (:tenantId::uuid, '{}', '[]', 'x', 'succeeded', now()) RETURNING move_id)
     INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix, state, committed_at)
     SELECT move_id, 0, :tenantId::uuid, 'relocate', '{"region": "us"}', '{"region": "eu"}', '1a1', 'settled',
            timestamptz '2026-02-01T00:00:00Z' FROM m`,
    { tenantId },
  );
  const offboardingId = await erasing(tenantId);
  const options = { actor: ACTOR, stateMachineArn: MACHINE, start: async () => {} };
  expect(await eraseOtherRegions(two.eu, two.registries('eu'), offboardingId, options)).toBe(false);
  const users = () =>
    two.us.query(
      'SELECT email, is_active AS active, external_auth_id AS external FROM tenant_users WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
  expect(await users()).toEqual([
    { email: `there@${tenantId}.test`, active: false, external: `corp:${tenantId}` },
  ]);
  await eraseRegistry(two.us, offboardingId);
  expect(await users()).toEqual([]);
  expect((await findOffboarding(two.us, offboardingId))?.facts.registry?.found).toMatchObject({
    'rows of tenant_users': 1,
  });

  // Home has only reserved the slug: nobody's address gets there.
  const never = await addMoved();
  await two.eu.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:never::uuid, :email, 'admin')`,
    { never, email: `x@${never}.test` },
  );
  const another = await erasing(never);
  expect(await eraseOtherRegions(two.eu, two.registries('eu'), another, options)).toBe(false);
  expect(
    await two.us.query('SELECT email FROM tenant_users WHERE tenant_id = :never::uuid', { never }),
  ).toEqual([]);
});

test('a clone that is in another region is found by the request and by the last check, and one that is unknown is waited for', async () => {
  const tenantId = await addMoved();
  const clone = randomUUID();
  await put('us', clone, 'elsewhere', 'eu');
  await put('eu', clone, 'elsewhere', 'us');
  const setClone = (key: 'us' | 'eu', status: string) =>
    two[key].query(
      `UPDATE tenants SET status = :status, clone_of = :tenantId::uuid WHERE tenant_id = :clone::uuid`,
      { status, tenantId, clone },
    );
  const findOtherClone = clonesOfOtherRegions(two.registries('eu'), 'eu');
  const request = () =>
    requestOffboarding(two.eu, tenantId, {
      actor: ACTOR,
      cause: 'request',
      executionArnOf: (name) => `arn:eu:${name}`,
      start: async () => {},
      findOtherClone,
    });
  // As it is from the begin of its move on.
  for (const status of ['arriving', 'active', 'suspended', 'failed']) {
    await setClone('us', status);
    await expect(request(), status).rejects.toThrow(`The tenant has the clone "t-${clone.slice(0, 13)}".`);
  }
  await setClone('us', 'offboarded');
  const offboardingId = await request();
  await setClone('us', 'active');
  const last = (find = findOtherClone) => beginErasure(two.eu, offboardingId, ACTOR, find);
  await expect(last()).rejects.toThrow(TenantBusy);
  await setClone('us', 'elsewhere');
  await setClone('eu', 'active');
  await expect(last()).rejects.toThrow(TenantBusy);
  await setClone('eu', 'offboarded');
  await expect(last(() => Promise.reject(new RegionUnavailable('us')))).rejects.toThrow(
    'Region "us" does not answer: it may have a clone of the tenant.',
  );
  expect((await findOffboarding(two.eu, offboardingId))?.erasingSince).toBeNull();
  await last();
  expect((await findOffboarding(two.eu, offboardingId))?.phase).toBe('erase');
});

test('a region where the tenant was before erases its own, and the certificate lists it', async () => {
  const tenantId = await addMoved();
  const offboardingId = await erasing(tenantId);
  const starts: { machine: string; name: string; input: object }[] = [];
  const start = async (machine: string, name: string, input: object) => {
    starts.push({ machine, name, input });
  };
  const ask = () =>
    eraseOtherRegions(two.eu, two.registries('eu'), offboardingId, {
      actor: ACTOR,
      stateMachineArn: MACHINE,
      start,
    });

  expect(await ask()).toBe(false);
  expect(await ask()).toBe(false);
  expect(starts).toEqual([
    {
      machine: MACHINE.replace('eu-west-1', 'us-east-1'),
      name: `offboarding-${offboardingId}`,
      input: { tenantId, offboardingId },
    },
  ]);
  // As the workflow of that region does it.
  expect(await findOffboarding(two.us, offboardingId)).toMatchObject({
    partOf: 'eu',
    status: 'running',
    phase: 'erase',
    region: 'us',
  });
  await beginErasure(two.us, offboardingId, ACTOR);
  expect(
    await eraseOtherRegions(two.us, two.registries('us'), offboardingId, {
      actor: ACTOR,
      stateMachineArn: MACHINE,
      start,
    }),
  ).toBe(true);
  await keepFound(two.us, offboardingId, 'bucket backups', async () => ({ 'objects of backups': 2 }));
  await mergeFact(two.us, offboardingId, 'bucket backups', { verifiedAt: new Date().toISOString() });
  await eraseRegistry(two.us, offboardingId);
  await certify(two.us, offboardingId, { keyArn: 'none', retention: { logRetentionDays: 90 }, actor: ACTOR });

  expect(await ask()).toBe(true);
  await eraseRegistry(two.eu, offboardingId);
  const record = (await findOffboarding(two.eu, offboardingId))!;
  const { erased, kept } = certificateOf(record, { now: new Date(), logRetentionDays: 90 });
  expect(
    erased.filter(({ region }) => region === 'us').map(({ store, removed }) => [store, removed]),
  ).toEqual([
    ['bucket backups', [{ what: 'objects of backups', count: 2 }]],
    ['registry', [{ what: 'rows of tenant_backups', count: 1 }]],
  ]);
  expect(kept.some(({ region, store }) => region === 'us' && store === 'logs')).toBe(true);
  // The row that names the tenant's region stays, so that the slug stays reserved and the certificate is found.
  const [stub] = await two.us.query(
    'SELECT status, home_region FROM tenants WHERE tenant_id = :tenantId::uuid',
    {
      tenantId,
    },
  );
  expect(stub).toEqual({ status: 'elsewhere', home_region: 'eu' });
  const left = await two.us.query('SELECT 1 FROM tenant_backups WHERE tenant_id = :tenantId::uuid', {
    tenantId,
  });
  expect(left).toEqual([]);
});

test('an export, a backup or a move that still runs where the tenant was before is awaited there, in its erasure', async () => {
  const tenantId = await addMoved();
  const offboardingId = await erasing(tenantId);
  const options = { actor: ACTOR, stateMachineArn: MACHINE, start: async () => {} };
  const running = {
    tenant_exports: `INSERT INTO tenant_exports (tenant_id, region, prefix, started_by, status, expires_at)
      VALUES (:tenantId::uuid, 'us', 'x/', 'x', 'running', now() + interval '1 day')`,
    tenant_backups: `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch, schema_version, prefix,
                                                 started_by, status, expires_at)
      VALUES (:tenantId::uuid, 'us', 'business', 'schema', 1, 6, 'y/', 'x', 'running', now() + interval '1 day')`,
    tenant_moves: `INSERT INTO tenant_moves (tenant_id, input, plan, started_by, status)
      VALUES (:tenantId::uuid, '{}', '[]', 'x', 'running')`,
  };
  expect(await eraseOtherRegions(two.eu, two.registries('eu'), offboardingId, options)).toBe(false);
  for (const [table, statement] of Object.entries(running)) {
    // As if it had begun before the tenant left: its own region knows nothing of it.
    await two.us.query(statement, { tenantId });
    await expect(beginErasure(two.us, offboardingId, ACTOR), table).rejects.toThrow(TenantBusy);
    await two.us.query(
      `UPDATE ${table} SET status = 'failed', finished_at = now() WHERE tenant_id = :tenantId::uuid AND status = 'running'`,
      { tenantId },
    );
  }
  await beginErasure(two.us, offboardingId, ACTOR);
  expect((await findOffboarding(two.us, offboardingId))?.status).toBe('running');
});

test('a region that has never had the tenant is not asked; a start that fails is left to its recovery', async () => {
  const [here, both] = [randomUUID(), await addMoved()];
  await put('eu', here, 'active', 'eu');
  const refuse = () => Promise.reject(new Error('throttled'));
  const options = { actor: ACTOR, stateMachineArn: MACHINE, start: refuse };
  const [one, other] = [await erasing(here), await erasing(both)];
  expect(await eraseOtherRegions(two.eu, two.registries('eu'), one, options)).toBe(true);
  expect(await findOffboarding(two.us, one)).toBeUndefined();
  expect(await eraseOtherRegions(two.eu, two.registries('eu'), other, options)).toBe(false);
  expect((await findOffboarding(two.us, other))?.status).toBe('running');
});
