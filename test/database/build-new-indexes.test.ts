import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Release, thisRelease } from '../../functions/database/provisioning/release.ts';
import {
  updateSharedTables,
  updateTenantSchema,
} from '../../functions/database/provisioning/update-target.ts';
import { changesOf } from '../../functions/database/tables/tenant-migrations.ts';
import type { Index, TenantTable } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { asTenant, enterTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

const NEXT = thisRelease.schemaVersion + 1;
const indexed = (table: string, index: Index): readonly TenantTable[] =>
  tenantTables.map((each: TenantTable) =>
    each.name === table ? { ...each, indexes: [...each.indexes, { ...index, since: NEXT }] } : each,
  );
const releaseWith = (tables: readonly TenantTable[]): Release => ({
  ...thisRelease,
  tables,
  schemaVersion: NEXT,
  migrations: [
    ...thisRelease.migrations,
    { name: `${String(NEXT).padStart(4, '0')}-index`, up: changesOf(NEXT, tables) },
  ],
});
const release = releaseWith(indexed('employees', { name: 'title', columns: ['job_title'] }));

let database: TestDatabase;
let tenant: TestTenant;
let owner: pg.Client;
let superuser: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  tenant = await database.addTenant('schema');
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
afterAll(() => database.drop());

const indexesOf = async (schema: string, like: string) =>
  (
    await superuser.query(
      `SELECT c.relname AS name, indisvalid AS valid FROM pg_index JOIN pg_class c ON c.oid = indexrelid
       WHERE relnamespace = $1::regnamespace AND c.relname LIKE $2 ORDER BY 1`,
      [schema, like],
    )
  ).rows;
const hire = (client: pg.Client, email: string) =>
  client.query(`INSERT INTO employees (email, first_name, last_name) VALUES ($1, 'A', 'B')`, [email]);
/** Until the build waits for a transaction that is older than itself. */
const building = () =>
  vi.waitUntil(
    async () =>
      (
        await superuser.query(
          `SELECT FROM pg_stat_activity WHERE wait_event = 'virtualxid' AND query LIKE 'CREATE INDEX CONCURRENTLY%'`,
        )
      ).rowCount === 1,
    { timeout: 10_000, interval: 10 },
  );

describe('an index that a version adds to a table that exists', () => {
  test('is built beside writers: they do not wait for it, though it waits for them', async () => {
    const first = await database.connect(tenant.login);
    const second = await database.connect(tenant.login);
    await enterTenant(first, tenant, 'write');
    await hire(first, 'before@test');
    const updating = updateTenantSchema(owner, tenant, release);
    await building();
    await asTenant(second, tenant, 'write', async () => {
      await second.query("SET LOCAL lock_timeout = '300ms'");
      await hire(second, 'meanwhile@test');
    });
    await first.query('COMMIT');
    expect(await updating).toBe(NEXT);
    expect(await indexesOf(tenant.schemaName, 'idx_employees_title')).toEqual([
      { name: 'idx_employees_title', valid: true },
    ]);
  });

  test('is built anew where an earlier build was cut off', async () => {
    const other = await database.addTenant('schema');
    const client = await database.connect(other.login);
    await enterTenant(client, other, 'write');
    await hire(client, 'before@test');
    const mover = await database.connect('owner');
    const cutOff = expect(updateTenantSchema(mover, other, release)).rejects.toThrow();
    await building();
    // Meanwhile nobody else builds it.
    await expect(updateTenantSchema(owner, other, release)).rejects.toMatchObject({
      name: 'IndexesInProgress',
    });
    const { processID } = mover as unknown as { processID: number };
    await superuser.query('SELECT pg_terminate_backend($1, 5000)', [processID]);
    await cutOff;
    await client.query('COMMIT');
    const [left] = await indexesOf(other.schemaName, 'idx_employees_title');
    expect(left).toEqual({ name: 'idx_employees_title', valid: false });
    expect(await updateTenantSchema(owner, other, release)).toBe(NEXT);
    expect(await indexesOf(other.schemaName, 'idx_employees_title')).toEqual([
      { name: 'idx_employees_title', valid: true },
    ]);
  });

  test('is built partition by partition in shared tables', async () => {
    const partitioned = releaseWith(indexed('assessment_results', { name: 'score', columns: ['score'] }));
    const shared = { starterRole: 'strata_starter', relocating: [] };
    expect(await updateSharedTables(owner, shared, partitioned)).toBe(NEXT);
    const built = await indexesOf('shared', 'idx_assessment_results%score');
    expect(built.length).toBeGreaterThan(2);
    expect(built.every(({ valid }) => valid)).toBe(true);
    // The table's own index has taken those of its partitions, and made no other ones.
    const { rows } = await superuser.query(
      `SELECT count(*)::int AS attached FROM pg_inherits WHERE inhparent = 'shared.idx_assessment_results_tenant_score'::regclass`,
    );
    expect(rows[0].attached).toBe(built.length - 1);
  });
});

test('addresses are found by their index whatever their case', async () => {
  const client = await database.connect(tenant.login);
  await asTenant(client, tenant, 'read', async () => {
    await client.query('SET LOCAL enable_seqscan = off');
    const { rows } = await client.query(
      `EXPLAIN SELECT FROM employees AS other WHERE lower(other.email) = 'a@test' AND other.employee_id <> gen_random_uuid()`,
    );
    expect(JSON.stringify(rows)).toContain('idx_employees_caseless_email');
  });
});
