import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { monthOf, partitionName } from '../../functions/database/tables/month-partitions.ts';
import { claimTenant, releaseClaim } from '../../functions/database/transfer/claim.ts';
import { lowerFence, raiseFence } from '../../functions/database/transfer/fence.ts';
import { type DeleteOldRowsOptions, deleteOldRows } from '../../functions/upkeep/delete-old-rows.ts';
import { keepPartitions } from '../../functions/upkeep/keep-partitions.ts';
import { retentionCutoff } from '../../functions/upkeep/retention.ts';
import { asTenant } from '../enter-tenant.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from '../move/hop-world.ts';
import type { LocalSecrets } from '../move/local-secrets.ts';
import { reshapeSteps } from '../move/reshape-steps.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
let secrets: LocalSecrets;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  secrets = await startHopWorld();
});
afterAll(async () => {
  await database.drop();
  await secrets.stop();
});

const now = new Date('2033-07-15T10:00:00Z');
const deleteRows = (
  { tenantId }: Pick<TestTenant, 'tenantId'>,
  tier: 'starter' | 'business' | 'enterprise',
  options: Partial<DeleteOldRowsOptions> = {},
  as = owner,
) => deleteOldRows(as, { tenantId, tier }, { now, deadline: performance.now() + 30_000, ...options });

/** Rows of the audit log at each of these times. */
async function write(tenant: TestTenant, rows: Readonly<Record<string, number>>): Promise<void> {
  const client = await database.connect(tenant.login);
  for (const [time, count] of Object.entries(rows)) {
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `INSERT INTO audit_log (action, resource_type, created_at)
         SELECT 'a', 'r', $1::timestamptz FROM generate_series(1, $2::integer)`,
        [time, count],
      ),
    );
  }
  await client.end();
}

/** How many rows the tenant sees at each time, oldest first. */
async function left(tenant: TestTenant): Promise<Record<string, number>> {
  const client = await database.connect(tenant.login);
  const { rows } = await asTenant(client, tenant, 'read', () =>
    client.query<{ time: string; rows: number }>(
      `SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS time, count(*)::int AS rows
       FROM audit_log GROUP BY 1 ORDER BY 1`,
    ),
  );
  await client.end();
  return Object.fromEntries(rows.map(({ time, rows: count }) => [time, count]));
}

test.each([
  ['2033-07-15T10:00:00Z', 24, '2031-07-15T10:00:00.000Z'],
  ['2032-02-29T00:00:00Z', 12, '2031-02-28T00:00:00.000Z'],
  ['2033-01-31T23:59:59Z', 84, '2026-01-31T23:59:59.000Z'],
])('at %s, %i months reach back to %s', (time, months, cutoff) => {
  expect(retentionCutoff(new Date(time), months).toISOString()).toBe(cutoff);
});

describe('of a tenant with tables of its own', () => {
  test.each([
    ['business', 'schema', '2031-07-15T09:59:59Z', '2031-07-15T10:00:01Z'],
    ['enterprise', 'dedicated', '2026-07-15T09:59:59Z', '2026-07-15T10:00:01Z'],
  ] as const)(
    '%s: rows beyond the retention go in batches, younger ones stay',
    async (tier, model, old, young) => {
      const tenant = await database.addTenant(model);
      const neighbour = await database.addTenant(model);
      for (const each of [tenant, neighbour]) await write(each, { [old]: 25, [young]: 5 });
      const batches: number[] = [];
      const outcome = await deleteRows(tenant, tier, {
        batch: 10,
        onBatch: (rows) => void batches.push(rows),
      });
      expect(outcome).toEqual({ rows: 25, outcome: 'done' });
      expect(batches).toEqual([10, 10, 5]);
      expect(await left(tenant)).toEqual({ [young]: 5 });
      expect(await left(neighbour)).toEqual({ [old]: 25, [young]: 5 });
    },
  );

  test('requests write between batches and wait for none', async () => {
    const tenant = await database.addTenant('schema');
    await write(tenant, { '2030-01-01T00:00:00Z': 30 });
    const outcome = await deleteRows(tenant, 'business', {
      batch: 10,
      onBatch: () => write(tenant, { '2033-07-15T09:00:00Z': 1 }),
    });
    expect(outcome).toEqual({ rows: 30, outcome: 'done' });
    expect(await left(tenant)).toEqual({ '2033-07-15T09:00:00Z': 3 });
  });

  test('killed after a batch, the next run deletes the rest', async () => {
    const tenant = await database.addTenant('schema');
    await write(tenant, { '2030-01-01T00:00:00Z': 25, '2033-01-01T00:00:00Z': 1 });
    const mortal = await database.connect('owner');
    const killed = deleteRows(
      tenant,
      'business',
      {
        batch: 10,
        onBatch: async () => {
          const { processID } = mortal as unknown as { processID: number };
          await owner.query('SELECT pg_terminate_backend($1, 5000)', [processID]);
        },
      },
      mortal,
    );
    await expect(killed).rejects.toThrow();
    expect(await left(tenant)).toEqual({ '2030-01-01T00:00:00Z': 15, '2033-01-01T00:00:00Z': 1 });
    expect(await deleteRows(tenant, 'business')).toEqual({ rows: 15, outcome: 'done' });
    expect(await left(tenant)).toEqual({ '2033-01-01T00:00:00Z': 1 });
  });

  test('a deadline ends it between two batches', async () => {
    const tenant = await database.addTenant('schema');
    await write(tenant, { '2030-01-01T00:00:00Z': 5 });
    expect(await deleteRows(tenant, 'business', { deadline: performance.now() - 1 })).toEqual({
      rows: 0,
      outcome: 'unfinished',
    });
  });
});

test('of a Starter tenant, whole months go that have no partition; neighbours keep theirs', async () => {
  const [tenant, neighbour] = [await database.addTenant('shared'), await database.addTenant('shared')];
  const rows = { '2032-06-30T23:59:59Z': 15, '2032-07-01T00:00:00Z': 4 };
  for (const each of [tenant, neighbour]) await write(each, rows);
  expect(await deleteRows(tenant, 'starter', { batch: 10 })).toEqual({ rows: 15, outcome: 'done' });
  expect(await left(tenant)).toEqual({ '2032-07-01T00:00:00Z': 4 });
  expect(await left(neighbour)).toEqual(rows);
});

describe('a tenant that is left alone:', () => {
  test('one whose writes are paused', async () => {
    const tenant = await database.addTenant('schema');
    await write(tenant, { '2030-01-01T00:00:00Z': 1 });
    const attempt = { tenantId: tenant.tenantId, epoch: 1, attemptId: randomUUID() };
    await claimTenant(owner, attempt);
    const fence = await raiseFence(owner, attempt);
    expect(await deleteRows(tenant, 'business')).toEqual({ rows: 0, outcome: 'moving' });
    await lowerFence(owner, attempt, fence);
    await releaseClaim(owner, attempt);
    expect(await deleteRows(tenant, 'business')).toEqual({ rows: 1, outcome: 'done' });
  });

  test('one that has left, or is not known in the database', async () => {
    const tenant = await database.addTenant('schema');
    await owner.query(`UPDATE tenancy.placement SET state = 'moved', forward = '{}' WHERE tenant_id = $1`, [
      tenant.tenantId,
    ]);
    expect(await deleteRows(tenant, 'business')).toMatchObject({ outcome: 'elsewhere' });
    expect(await deleteRows({ tenantId: randomUUID() }, 'business')).toMatchObject({ outcome: 'elsewhere' });
  });

  test.each(['shared', 'schema'] as const)(
    'one that moves from %s: the move finds both sides equal, and the next run deletes at its new place',
    async (model) => {
      const tenant = await database.addTenant(model);
      await write(tenant, { '2025-01-01T00:00:00Z': 20, '2033-07-01T00:00:00Z': 2 });
      const to = model === 'shared' ? 'schema' : 'shared';
      const target = await arrivalIn(database, secrets, to, { tenantId: tenant.tenantId, epoch: 2 });
      const log = new StepLog(hopOf('reshape', tenant.tenantId, placeOf(database, tenant), target));
      for (const step of Object.values(reshapeSteps)) {
        await log.run(step);
        // Between two steps no transaction of the move is open: only the claim says that it is under way.
        for (const tier of ['starter', 'business'] as const)
          expect(await deleteRows(tenant, tier)).toEqual({ rows: 0, outcome: 'moving' });
      }
      await releaseClaim(owner, log.hop.attempt);
      expect(await deleteRows(tenant, to === 'shared' ? 'starter' : 'business')).toEqual({
        rows: 20,
        outcome: 'done',
      });
      const moved = {
        ...tenant,
        epoch: 2,
        login:
          to === 'shared'
            ? database.login('starter')
            : { user: target.roleName, password: `password of ${target.roleName}` },
      };
      expect(await left(moved)).toEqual({ '2033-07-01T00:00:00Z': 2 });
    },
  );
});

test('a move from the shared tables finds both sides equal although rows go to their months between its steps', async () => {
  const tenant = await database.addTenant('shared');
  const hop = hopOf(
    'reshape',
    tenant.tenantId,
    placeOf(database, tenant),
    await arrivalIn(database, secrets, 'schema', { tenantId: tenant.tenantId, epoch: 2 }),
  );
  const log = new StepLog(hop);
  const today = new Date();
  const steps = Object.values(reshapeSteps);
  const months = steps.map((_, ago) => monthOf(today, -2 - ago));
  const added: string[] = [];
  for (const [index, step] of steps.entries()) {
    // Rows of a month that has no partition yet, captured once the copy has begun.
    await write(tenant, { [`${months[index]!.first}T12:00:00Z`]: 3 });
    await keepPartitions(owner, {
      now: today,
      deadline: performance.now() + 30_000,
      onFailure: ({ error }) => {
        throw error;
      },
    }).then((kept) => added.push(...kept.added));
    await log.run(step);
  }
  for (const month of months) expect(added).toContain(partitionName({ name: 'audit_log' }, month));
  await releaseClaim(owner, hop.attempt);
  const { roleName } = hop.target;
  const moved = { ...tenant, epoch: 2, login: { user: roleName, password: `password of ${roleName}` } };
  expect(Object.values(await left(moved))).toEqual(months.map(() => 3));
});
