import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type Month,
  monthOf,
  monthPartitionedTables,
  partitionName,
} from '../../functions/database/tables/month-partitions.ts';
import { claimTenant, releaseClaim } from '../../functions/database/transfer/claim.ts';
import { type KeepPartitionsOptions, keepPartitions } from '../../functions/upkeep/keep-partitions.ts';
import { asTenant, enterTenant, until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
let superuser: pg.Client;
beforeEach(async () => {
  database = await TestDatabase.clone();
  [owner, superuser] = [await database.connect('owner'), await database.connect('superuser')];
});
afterEach(() => database.drop());

const now = new Date();
const soon = () => performance.now() + 60_000;
const throwing: KeepPartitionsOptions['onFailure'] = ({ error }) => {
  throw error;
};
const patience = { lockTimeoutMs: 100, patienceMs: 20_000 };
const keep = (options: Partial<KeepPartitionsOptions> = {}, as = owner) =>
  keepPartitions(as, { now, deadline: soon(), onFailure: throwing, patience, ...options });

const [auditLog] = monthPartitionedTables as [(typeof monthPartitionedTables)[number]];
const nameOf = (month: Month) => partitionName(auditLog, month);
/** In the middle of the month. */
const timeIn = (month: Month) => `${month.first.slice(0, 8)}15T12:00:00Z`;

async function partitions(): Promise<string[]> {
  const { rows } = await superuser.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'shared.audit_log'::regclass ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

async function rowsOf(table: string): Promise<number> {
  const { rows } = await superuser.query(`SELECT count(*)::int AS rows FROM ONLY shared.${table}`);
  return rows[0].rows;
}

const isForced = async (table: string) =>
  (await superuser.query('SELECT relforcerowsecurity AS forced FROM pg_class WHERE relname = $1', [table]))
    .rows[0]?.forced;

async function write(tenant: TestTenant, time: string, count = 1, client?: pg.Client): Promise<void> {
  const session = client ?? (await database.connect(tenant.login));
  await asTenant(session, tenant, 'write', () =>
    session.query(
      `INSERT INTO audit_log (action, resource_type, created_at)
       SELECT 'a', 'r', $1::timestamptz FROM generate_series(1, $2::integer)`,
      [time, count],
    ),
  );
  if (!client) await session.end();
}

async function read(tenant: TestTenant, client: pg.Client): Promise<number> {
  const { rows } = await asTenant(client, tenant, 'read', () =>
    client.query('SELECT count(*)::int AS rows FROM audit_log'),
  );
  return rows[0].rows;
}

/** How many sessions wait for the exclusive lock now. */
async function lockTries(): Promise<number> {
  const { rows } = await superuser.query(
    `SELECT count(*)::int AS tries FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
  return rows[0].tries;
}

const removePartition = (month: Month) => owner.query(`DROP TABLE shared.${nameOf(month)}`);

describe('months ahead', () => {
  test('are this one and three complete ones, and a second run changes nothing', async () => {
    for (const offset of [1, 2, 3]) await removePartition(monthOf(now, offset));
    const { added } = await keep();
    expect(added).toEqual([1, 2, 3].map((offset) => nameOf(monthOf(now, offset))));
    expect(await partitions()).toEqual(
      [...[0, 1, 2, 3].map((offset) => nameOf(monthOf(now, offset))), 'audit_log_default'].sort(),
    );
    const again = await keep();
    expect(again).toEqual({ added: [], dropped: [], rowsDrained: 0, postponed: [] });
  });

  test('are added in time: a run in each month keeps every row out of the default partition for eight months', async () => {
    const tenant = await database.addTenant('shared');
    for (let month = 1; month <= 8; month++) {
      const day = new Date(timeIn(monthOf(now, month)));
      await keep({ now: day });
      await write(tenant, timeIn(monthOf(now, month + 3)));
    }
    expect(await rowsOf('audit_log_default')).toBe(0);
  });
});

describe('rows in the default partition', () => {
  test('are moved to their months while requests write and read: no insert fails, none is lost, every read sees all', async () => {
    const month = monthOf(now);
    await removePartition(month);
    const earlier = monthOf(now, -1);
    const tenants = [await database.addTenant('shared'), await database.addTenant('shared')];
    for (const tenant of tenants) {
      await write(tenant, new Date().toISOString(), 3_000);
      await write(tenant, timeIn(earlier), 500);
    }
    let working = true;
    const written = new Map(tenants.map(({ tenantId }) => [tenantId, 3_500]));
    const writing = tenants.map(async (tenant) => {
      const client = await database.connect(tenant.login);
      while (working) {
        await write(tenant, new Date().toISOString(), 1, client);
        written.set(tenant.tenantId, written.get(tenant.tenantId)! + 1);
      }
    });
    const reading = tenants.map(async (tenant) => {
      const client = await database.connect(tenant.login);
      let reads = 0;
      for (; working; reads++) {
        const atLeast = written.get(tenant.tenantId)!;
        expect(await read(tenant, client)).toBeGreaterThanOrEqual(atLeast);
      }
      return reads;
    });
    const figures = await keep().finally(() => {
      working = false;
    });
    await Promise.all([...writing, ...reading]);
    expect(figures.added).toEqual([nameOf(earlier), nameOf(month)]);
    expect(figures.rowsDrained).toBeGreaterThanOrEqual(7_000);
    expect(await rowsOf('audit_log_default')).toBe(0);
    expect(await rowsOf(nameOf(earlier))).toBe(1_000);
    for (const tenant of tenants) {
      expect(await read(tenant, await database.connect(tenant.login))).toBe(written.get(tenant.tenantId));
    }
    expect(await isForced('audit_log_default')).toBe(true);
    expect(await isForced(nameOf(month))).toBe(true);
  });

  test('are found by a request that was planned before they moved and goes on afterwards', async () => {
    const tenant = await database.addTenant('shared');
    const month = monthOf(now);
    await removePartition(month);
    await write(tenant, new Date().toISOString(), 5);
    // An open transaction holds the parent: the upkeep has to wait for it, and this session sees its rows throughout.
    const reader = await database.connect(tenant.login);
    await enterTenant(reader, tenant, 'read');
    await reader.query('SELECT count(*) FROM audit_log');
    const keeping = keep();
    await until(async () => (await lockTries()) > 0);
    const { rows } = await reader.query('SELECT count(*)::int AS rows FROM audit_log');
    expect(rows[0].rows).toBe(5);
    // Between two tries others are let through, although the reader is still there.
    const other = await database.connect(tenant.login);
    await write(tenant, new Date().toISOString(), 1, other);
    await reader.query('COMMIT');
    expect((await keeping).added).toEqual([nameOf(month)]);
    expect(await read(tenant, other)).toBe(6);
  });

  test('that a move is bringing stay until it has ended; those of other months are moved', async () => {
    const [moving, resting] = [await database.addTenant('schema'), await database.addTenant('shared')];
    const months = [monthOf(now, -2), monthOf(now, -1)] as const;
    for (const month of months) await write(resting, timeIn(month), 3);
    await superuser.query(
      `INSERT INTO shared.audit_log (tenant_id, action, resource_type, created_at) VALUES ($1, 'a', 'r', $2)`,
      [moving.tenantId, timeIn(months[0])],
    );
    const attempt = { tenantId: moving.tenantId, epoch: moving.epoch, attemptId: randomUUID() };
    await claimTenant(owner, attempt);
    const first = await keep();
    expect(first).toMatchObject({ added: [nameOf(months[1])], postponed: [nameOf(months[0])] });
    expect(await rowsOf('audit_log_default')).toBe(4);
    await releaseClaim(owner, attempt);
    expect(await keep()).toMatchObject({ added: [nameOf(months[0])], rowsDrained: 4, postponed: [] });
  });

  test('survive a process that is killed at any statement, and are moved by the next run', async () => {
    const tenant = await database.addTenant('shared');
    const reader = await database.connect(tenant.login);
    const month = monthOf(now, -1);
    await write(tenant, timeIn(month), 20);
    let statements = 1;
    // Each kill point in the full run; here one of six.
    for (let killed = true; killed; statements += sampled(6, 1)) {
      const mortal = await database.connect('owner');
      const query = mortal.query.bind(mortal) as (...args: unknown[]) => unknown;
      let left = statements;
      mortal.query = ((...args: unknown[]) => {
        if (left-- > 0) return query(...args);
        return superuser
          .query('SELECT pg_terminate_backend($1, 5000)', [
            (mortal as unknown as { processID: number }).processID,
          ])
          .then(() => {
            throw new Error('killed');
          });
      }) as never;
      const failures: unknown[] = [];
      await keep({ onFailure: ({ error }) => failures.push(error) }, mortal).catch((error) =>
        failures.push(error),
      );
      killed = failures.length > 0;
      expect(await read(tenant, reader), `after ${statements} statements`).toBe(20);
    }
    expect(statements).toBeGreaterThan(15);
    await keep();
    expect(await rowsOf('audit_log_default')).toBe(0);
    expect(await rowsOf(nameOf(month))).toBe(20);
    expect(await isForced('audit_log_default')).toBe(true);
  });
});

test('a default partition that a killed run left without forced row-level security gets it back, also when it is empty', async () => {
  await owner.query('ALTER TABLE shared.audit_log_default NO FORCE ROW LEVEL SECURITY');
  await keep();
  expect(await isForced('audit_log_default')).toBe(true);
});

describe('a partition beyond the retention of the shared tables', () => {
  const old = monthOf(now, -13);
  const kept = monthOf(now, -12);

  async function addOldMonths(tenant: TestTenant): Promise<void> {
    await write(tenant, timeIn(old), 2);
    await write(tenant, timeIn(kept), 3);
    // As it was then.
    const { added } = await keep({ now: new Date(timeIn(old)) });
    expect(added).toContain(nameOf(old));
  }

  test('is dropped although a reader holds it for long; others wait no longer than one try', async () => {
    const tenant = await database.addTenant('shared');
    await addOldMonths(tenant);
    const reader = await database.connect(tenant.login);
    await enterTenant(reader, tenant, 'read');
    await reader.query('SELECT count(*) FROM audit_log');
    let dropped = false;
    const keeping = keep().finally(() => {
      dropped = true;
    });
    const other = await database.connect(tenant.login);
    await until(async () => (await lockTries()) > 0);
    let longest = 0;
    for (let requests = 0; requests < 30; requests++) {
      const began = performance.now();
      await write(tenant, new Date().toISOString(), 1, other);
      longest = Math.max(longest, performance.now() - began);
    }
    expect(dropped).toBe(false);
    // A try waits for 100 ms; the rest is the machine's.
    expect(longest).toBeLessThan(4_000);
    expect((await reader.query('SELECT count(*)::int AS rows FROM audit_log')).rows[0].rows).toBe(5);
    await reader.query('COMMIT');
    expect((await keeping).dropped).toEqual([nameOf(old)]);
    expect(await partitions()).not.toContain(nameOf(old));
    expect(await read(tenant, other)).toBe(3 + 30);
  });

  test('is reported and stays where readers never let go of it', async () => {
    const tenant = await database.addTenant('shared');
    await addOldMonths(tenant);
    const reader = await database.connect(tenant.login);
    await enterTenant(reader, tenant, 'read');
    await reader.query('SELECT count(*) FROM audit_log');
    const failures: unknown[] = [];
    const figures = await keep({
      patience: { lockTimeoutMs: 20, patienceMs: 200 },
      onFailure: ({ table, error }) => failures.push([table, (error as Error).name]),
    });
    expect(figures.dropped).toEqual([]);
    // With so little patience, vacuum may be in the way of another step as well.
    expect(failures).toContainEqual([nameOf(old), 'TablesBusy']);
    expect(await partitions()).toContain(nameOf(old));
  });

  test('stays while a tenant that has rows there is being moved, and goes afterwards', async () => {
    const [tenant, other] = [await database.addTenant('shared'), await database.addTenant('shared')];
    await addOldMonths(tenant);
    // A move of a tenant without rows in the partition does not keep it.
    await claimTenant(owner, { tenantId: other.tenantId, epoch: 1, attemptId: randomUUID() });
    const attempt = { tenantId: tenant.tenantId, epoch: 1, attemptId: randomUUID() };
    await claimTenant(owner, attempt);
    expect(await keep()).toMatchObject({ dropped: [], postponed: [nameOf(old)] });
    expect(await isForced(nameOf(old))).toBe(true);
    await releaseClaim(owner, attempt);
    expect(await keep()).toMatchObject({ dropped: [nameOf(old)], postponed: [] });
  });
});
