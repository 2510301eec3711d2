import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { claimTenant } from '../../functions/database/transfer/claim.ts';
import { lowerFence, raiseFence } from '../../functions/database/transfer/fence.ts';
import { measureTenant } from '../../functions/metering/measure-tenant.ts';
import { type MeteringOptions, meterTenants } from '../../functions/metering/meter-tenants.ts';
import { until } from '../enter-tenant.ts';
import { MeteredWorld } from './metered-world.ts';

let world: MeteredWorld;
beforeAll(async () => {
  world = await MeteredWorld.create();
  await world.addCell('us-1');
});
/** Every run measures all tenants: those of earlier tests would make each test slower than the one before. */
afterEach(() => world.registry.query("UPDATE tenants SET status = 'offboarded'"));
afterAll(() => world.drop());

const DAY = '2026-03-10';
const soon = () => performance.now() + 60_000;
const nothingSkipped: MeteringOptions['onSkipped'] = ({ error }) => {
  throw error;
};
const meter = (options: Partial<MeteringOptions> = {}) =>
  meterTenants(world.registry, {
    region: 'us',
    day: DAY,
    deadline: soon(),
    onSkipped: nothingSkipped,
    connect: world.connect,
    ...options,
  });

test('a clone has no samples, and its original and its neighbours have theirs', async () => {
  const [original, clone] = [
    await world.addTenant('shared', 'us-1'),
    await world.addTenant('shared', 'us-1'),
  ];
  await world.registry.query('UPDATE tenants SET clone_of = :of::uuid WHERE tenant_id = :clone::uuid', {
    of: original.tenantId,
    clone: clone.tenantId,
  });
  for (const tenant of [original, clone]) await world.hire(tenant, 2);
  await meter();
  expect(await world.samples(clone.tenantId)).toEqual([]);
  expect(await world.samples(original.tenantId)).toMatchObject([{ active_employees: 2 }]);
});

describe('the figures', () => {
  test('of a Starter tenant never include a row of its neighbours', async () => {
    const small = await world.addTenant('shared', 'us-1', { monthlyRevenue: 120.5 });
    const large = await world.addTenant('shared', 'us-1');
    const empty = await world.addTenant('shared', 'us-1');
    await world.hire(small, 3, { left: 2, results: 4 });
    await world.hire(large, 70, { left: 5, results: 30 });
    await world.addUsers(small.tenantId, 2, 1);
    await meter();
    const [ofSmall] = await world.samples(small.tenantId);
    expect(ofSmall).toMatchObject({
      day: DAY,
      active_users: 2,
      active_employees: 3,
      user_count: 5,
      assessment_count: 4,
      monthly_revenue: 120.5,
      row_operations: null,
    });
    const [ofLarge] = await world.samples(large.tenantId);
    expect(ofLarge).toMatchObject({
      active_users: 0,
      active_employees: 70,
      user_count: 75,
      assessment_count: 30,
      monthly_revenue: null,
    });
    expect(await world.samples(empty.tenantId)).toMatchObject([
      { active_employees: 0, user_count: 0, assessment_count: 0, storage_bytes: 0 },
    ]);
    // Five employees of half a kilobyte, four results; its neighbour has fifteen times as many.
    expect(ofSmall?.storage_bytes).toBeGreaterThan(5 * 500);
    expect(ofSmall?.storage_bytes).toBeLessThan(10_000);
    expect(ofLarge?.storage_bytes).toBeGreaterThan(75 * 500);
  });

  test.each(['schema', 'dedicated'] as const)('of a tenant with a %s of its own', async (model) => {
    const cellId = model === 'schema' ? 'us-1' : null;
    const tenant = await world.addTenant(model, cellId);
    const neighbour = await world.addTenant('schema', 'us-1');
    await world.hire(neighbour, 50, { results: 50 });
    await world.hire(tenant, 10, { left: 1, results: 3 });
    // Statistics reach the server when a session ends, or after a while.
    const owner = await world.home(tenant.tenantId).connect('owner');
    await until(async () => ((await measureTenant(owner, tenant.tenantId)).rowOperations ?? 0) > 0);
    await meter();
    const [sample] = await world.samples(tenant.tenantId);
    expect(sample).toMatchObject({ active_employees: 10, user_count: 11, assessment_count: 3 });
    // 11 employees, 1 assessment and 3 results.
    expect(sample?.row_operations).toBe(15);
    const { storage } = await measureTenant(owner, tenant.tenantId);
    const { tableBytes = 0, indexBytes = 0, toastBytes = 0 } = storage ?? {};
    expect(tableBytes + indexBytes + toastBytes).toBe(sample?.storage_bytes);
    expect(Math.min(tableBytes, indexBytes)).toBeGreaterThan(3 * 8192);
    // Every index of the schema takes a page of 8 KB at least.
    expect(sample?.storage_bytes).toBeGreaterThan(20 * 8192);
    expect(sample?.storage_bytes).toBeLessThan(sample?.database_size_bytes as number);
  });

  test('of Starter tenants have shares of the shared tables, in proportion to their rows', async () => {
    const small = await world.addTenant('shared', 'us-1');
    const large = await world.addTenant('shared', 'us-1');
    await world.hire(small, 100);
    await world.hire(large, 300);
    const owner = await world.home(small.tenantId).connect('owner');
    const [ofSmall, ofLarge] = [
      (await measureTenant(owner, small.tenantId)).storage,
      (await measureTenant(owner, large.tenantId)).storage,
    ];
    for (const part of ['tableBytes', 'indexBytes'] as const) {
      const ratio = (ofLarge?.[part] ?? 0) / (ofSmall?.[part] ?? 0);
      expect(ratio, part).toBeGreaterThan(2.5);
      expect(ratio, part).toBeLessThan(3.5);
    }
    // The rows themselves, which are stored in heap and TOAST.
    const rows = (await measureTenant(owner, small.tenantId)).storageBytes ?? 0;
    const stored = (ofSmall?.tableBytes ?? 0) + (ofSmall?.toastBytes ?? 0);
    expect(Math.abs(stored - rows)).toBeLessThan(10);
    await owner.end();
  });

  test('of a day are one sample, and the later ones count', async () => {
    const tenant = await world.addTenant('shared', 'us-1');
    await world.hire(tenant, 1);
    await meter();
    await world.hire(tenant, 1);
    await meter();
    await meter({ day: '2026-03-11' });
    expect(await world.samples(tenant.tenantId)).toMatchObject([
      { day: DAY, active_employees: 2 },
      { day: '2026-03-11', active_employees: 2 },
    ]);
  });

  test('are had without the bytes where adding them up takes too long', async () => {
    const tenant = await world.addTenant('shared', 'us-1');
    await world.hire(tenant, 2_000);
    const owner = await world.home(tenant.tenantId).connect('owner');
    const measured = await measureTenant(owner, tenant.tenantId, { sizePatienceMs: 1 });
    expect(measured).toMatchObject({ activeEmployees: 2_000, storageBytes: null });
    // The same connection goes on.
    expect((await measureTenant(owner, tenant.tenantId)).storageBytes).toBeGreaterThan(1_000_000);
  });
});

describe('a tenant that', () => {
  test('is fenced for a move is simply read', async () => {
    const tenant = await world.addTenant('shared', 'us-1');
    await world.hire(tenant, 7);
    const owner = await world.home(tenant.tenantId).connect('owner');
    const attempt = { tenantId: tenant.tenantId, attemptId: randomUUID(), epoch: tenant.epoch };
    await claimTenant(owner, attempt);
    const fence = await raiseFence(owner, attempt);
    await meter();
    await lowerFence(owner, attempt, fence);
    expect(await world.samples(tenant.tenantId)).toMatchObject([{ active_employees: 7 }]);
  });

  test('was reshaped is measured where its database says it is, not where the registry does', async () => {
    const tenant = await world.addTenant('schema', 'us-1');
    await world.hire(tenant, 4);
    await world.registry.query(
      `UPDATE tenant_database_routing SET isolation_model = 'shared', schema_name = 'shared'
       WHERE tenant_id = :tenantId::uuid`,
      { tenantId: tenant.tenantId },
    );
    await meter();
    expect(await world.samples(tenant.tenantId)).toMatchObject([{ active_employees: 4 }]);
  });

  test('has left the database, or is unknown there, is left out, and the others are measured', async () => {
    const gone = await world.addTenant('schema', 'us-1');
    const unknown = await world.addTenant('shared', 'us-1');
    const other = await world.addTenant('shared', 'us-1', {
      tenantId: 'ffffffff-0000-4000-8000-000000000000',
    });
    const owner = await world.home(gone.tenantId).connect('owner');
    await owner.query(`UPDATE tenancy.placement SET state = 'moved', forward = '{}' WHERE tenant_id = $1`, [
      gone.tenantId,
    ]);
    await owner.query('DELETE FROM tenancy.placement WHERE tenant_id = $1', [unknown.tenantId]);
    const skipped: unknown[] = [];
    const outcome = await meter({
      onSkipped: ({ tenantId, error }) => skipped.push([tenantId, (error as Error).name]),
    });
    expect(outcome).toMatchObject({ done: true, skipped: 2 });
    expect(skipped.sort()).toEqual(
      [gone, unknown].map(({ tenantId }) => [tenantId, 'TenantElsewhere']).sort(),
    );
    expect(await world.samples(gone.tenantId)).toEqual([]);
    expect(await world.samples(other.tenantId)).toHaveLength(1);
    await world.registry.query(
      `UPDATE tenants SET status = 'offboarded' WHERE tenant_id IN (:gone::uuid, :unknown::uuid)`,
      { gone: gone.tenantId, unknown: unknown.tenantId },
    );
  });

  test.each(['suspended', 'provisioning', 'offboarded'])('is %s is not measured', async (status) => {
    const tenant = await world.addTenant('shared', 'us-1', { status });
    await meter();
    expect(await world.samples(tenant.tenantId)).toEqual([]);
  });
});

test('a database that cannot be reached costs its own tenants the sample and nobody else', async () => {
  await world.addCell('us-2');
  await world.addCell('us-3');
  const lost = [await world.addTenant('shared', 'us-2'), await world.addTenant('schema', 'us-2')];
  const behind = await world.addTenant('shared', 'us-3');
  let attempts = 0;
  const skipped: unknown[] = [];
  const outcome = await meter({
    onSkipped: ({ database, tenantId }) => skipped.push([database, tenantId]),
    connect: async (database) => {
      if (database.key !== 'us-2') return world.connect(database);
      attempts += 1;
      throw Object.assign(new Error('nobody there'), { code: 'ECONNREFUSED' });
    },
  });
  expect([outcome.done, attempts, skipped]).toEqual([true, 1, [['us-2', undefined]]]);
  for (const { tenantId } of lost) expect(await world.samples(tenantId)).toEqual([]);
  expect(await world.samples(behind.tenantId)).toHaveLength(1);
});

test('a connection that ends under way costs one tenant the sample; the next ones get a new connection', async () => {
  await world.addCell('eu-1', 'eu');
  const ids = ['1', '2', '3'].map((digit) => `${digit.repeat(8)}-0000-4000-8000-000000000000`);
  for (const tenantId of ids) await world.addTenant('shared', 'eu-1', { tenantId });
  let connections = 0;
  const skipped: unknown[] = [];
  await meter({
    region: 'eu',
    onSkipped: ({ tenantId }) => skipped.push(tenantId),
    connect: async (database) => {
      const client = await world.connect(database);
      connections += 1;
      // The server ends the first session behind its back.
      if (connections === 1)
        await client.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
      return client;
    },
  });
  expect([connections, skipped]).toEqual([2, [ids[0]]]);
  expect(await world.samples(ids[2] as string)).toHaveLength(1);
});

test('tenants whose data is in another region are that region’s to measure', async () => {
  await world.addCell('apac-1', 'apac');
  const far = await world.addTenant('shared', 'apac-1');
  await meter();
  expect(await world.samples(far.tenantId)).toEqual([]);
  expect(await meter({ region: 'apac' })).toEqual({ done: true, sampled: 1, skipped: 0 });
});

test('time that runs out under way loses and repeats nothing', async () => {
  await world.addCell('slow-1', 'slow');
  await world.addCell('slow-2', 'slow');
  for (const cellId of ['slow-1', 'slow-2']) {
    for (let n = 0; n < 3; n++) await world.addTenant('shared', cellId);
  }
  const deadline = performance.now() + 2_000;
  const first = await meter({
    region: 'slow',
    deadline,
    connect: async (database) => {
      // The second database takes its time.
      if (database.key === 'slow-2') await until(async () => performance.now() > deadline);
      return world.connect(database);
    },
  });
  expect(first.done).toBe(false);
  const second = await meter({ region: 'slow', after: first.cursor });
  expect(second).toMatchObject({ done: true, skipped: 0 });
  expect([first.sampled, second.sampled]).toEqual([4, 2]);
});

test('a run that is repeated measures only those that it has not measured yet', async () => {
  await world.addCell('again-1', 'again');
  const [done, missed] = [
    await world.addTenant('shared', 'again-1'),
    await world.addTenant('shared', 'again-1'),
  ];
  const since = new Date(Date.now() - 1_000).toISOString();
  const first = await meter({
    region: 'again',
    since,
    onSkipped: () => {},
    connect: async (database) => {
      const client = await world.connect(database);
      await client.query('DELETE FROM tenancy.placement WHERE tenant_id = $1', [missed.tenantId]);
      return client;
    },
  });
  expect(first).toMatchObject({ sampled: 1, skipped: 1 });
  await world.registry.query(
    `UPDATE usage_samples SET active_employees = 99 WHERE tenant_id = :tenantId::uuid`,
    {
      tenantId: done.tenantId,
    },
  );
  expect(await meter({ region: 'again', since, onSkipped: () => {} })).toMatchObject({
    sampled: 0,
    skipped: 1,
  });
  expect(await world.samples(done.tenantId)).toMatchObject([{ active_employees: 99 }]);
  // Asked for anew, it is measured anew.
  const later = new Date(Date.now() + 60_000).toISOString();
  expect(await meter({ region: 'again', since: later, onSkipped: () => {} })).toMatchObject({ sampled: 1 });
});
