import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import {
  countSchemaRows,
  eraseDatabase,
  searchDatabase,
  statisticsLeft,
} from '../../functions/offboarding/erase-database.ts';
import { ErasureIncomplete, TenantBusy } from '../../functions/offboarding/errors.ts';
import { keptSchemaName } from '../../functions/placement/tenant-names.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
});
afterAll(() => database.drop());

/** Runs a statement as a request of the tenant does. */
async function asTenant({ tenantId, epoch, login }: TestTenant, statement: string, values: unknown[] = []) {
  const client = await database.connect(login);
  try {
    await client.query('BEGIN');
    await client.query('SELECT tenancy.enter($1::uuid, $2::bigint, $3)', [tenantId, epoch, 'write']);
    const result = await client.query(statement, values);
    await client.query('COMMIT');
    return result;
  } finally {
    await client.end();
  }
}

const addEmployees = (tenant: TestTenant, count: number) =>
  asTenant(
    tenant,
    `INSERT INTO employees (email, first_name, last_name)
     SELECT n || $1, 'Ada', 'Lovelace' FROM generate_series(1, $2::int) n`,
    [`@${tenant.tenantId}.test`, count],
  );

const forever = () => performance.now() + 60_000;
async function erase(tenantId: string): Promise<boolean> {
  const found = await searchDatabase(owner, tenantId);
  return eraseDatabase(owner, tenantId, { store: 'database test', found, deadline: forever() });
}

/** Tables of which the planner's statistics have the tenant's id. */
async function quoting({ tenantId }: TestTenant): Promise<string[]> {
  const superuser = await database.connect('superuser');
  const { rows } = await superuser.query<{ name: string }>(
    `select distinct tablename as name from pg_stats
     where schemaname in ('shared', 'tenancy') and tablename not like 'idx_%'
       and concat(most_common_vals::text, histogram_bounds::text) like $1 order by 1`,
    [`%${tenantId}%`],
  );
  return rows.map(({ name }) => name);
}

describe('a tenant of the shared tables', () => {
  test('loses its rows and its placement, and its neighbours lose nothing', async () => {
    const [tenant, neighbour] = [await database.addTenant('shared'), await database.addTenant('shared')];
    await addEmployees(tenant, 20);
    await addEmployees(neighbour, 3);
    expect(await searchDatabase(owner, tenant.tenantId)).toEqual({ 'rows of employees': 20, placements: 1 });
    const superuser = await database.connect('superuser');
    await superuser.query('ANALYZE shared.employees, tenancy.placement');
    expect(await quoting(tenant)).toEqual(['employees', 'placement']);

    expect(await erase(tenant.tenantId)).toBe(true);

    expect(await searchDatabase(owner, tenant.tenantId)).toEqual({});
    expect(await searchDatabase(owner, neighbour.tenantId)).toEqual({
      'rows of employees': 3,
      placements: 1,
    });
    await expect(addEmployees(tenant, 1)).rejects.toMatchObject({ code: 'TN004' });
    expect((await addEmployees({ ...neighbour }, 0)).rowCount).toBe(0);
    // Frequent values of columns do not outlive the rows.
    expect(await quoting(tenant)).toEqual([]);
    // Again: nothing is there.
    expect(await erase(tenant.tenantId)).toBe(true);
  });

  test('is erased also where nothing but its rows was left, and where a fence was left', async () => {
    const [lost, fenced] = [await database.addTenant('shared'), await database.addTenant('shared')];
    for (const each of [lost, fenced]) await addEmployees(each, 2);
    await owner.query('delete from tenancy.placement where tenant_id = $1', [lost.tenantId]);
    await owner.query(
      `update tenancy.placement set state = 'fenced', fence_token = gen_random_uuid(),
         fence_expires_at = now() - interval '1 minute' where tenant_id = $1`,
      [fenced.tenantId],
    );
    expect(await searchDatabase(owner, lost.tenantId)).toEqual({ 'rows of employees': 2 });
    for (const { tenantId } of [lost, fenced]) {
      expect(await erase(tenantId)).toBe(true);
      expect(await searchDatabase(owner, tenantId)).toEqual({});
    }
  });

  test('that a move has claimed is left alone', async () => {
    const { tenantId, ...tenant } = await database.addTenant('shared');
    await addEmployees({ tenantId, ...tenant }, 1);
    await owner.query('update tenancy.placement set mover = $2 where tenant_id = $1', [
      tenantId,
      randomUUID(),
    ]);
    await expect(erase(tenantId)).rejects.toThrow(TenantBusy);
    expect(await searchDatabase(owner, tenantId)).toMatchObject({ 'rows of employees': 1 });
    await owner.query('update tenancy.placement set mover = null where tenant_id = $1', [tenantId]);
    expect(await erase(tenantId)).toBe(true);
  });

  test('is entered by nobody once the erasure has begun, and is erased by the call after one that was cut short', async () => {
    const tenant = await database.addTenant('shared');
    await addEmployees(tenant, 5);
    const found = await searchDatabase(owner, tenant.tenantId);
    const options = { store: 'database test', found, deadline: performance.now() - 1 };
    expect(await eraseDatabase(owner, tenant.tenantId, options)).toBe(false);
    await expect(addEmployees(tenant, 1)).rejects.toMatchObject({
      code: expect.stringMatching(/^TN00[234]$/),
    });
    expect(await searchDatabase(owner, tenant.tenantId)).toMatchObject({ 'rows of employees': 5 });
    expect(await eraseDatabase(owner, tenant.tenantId, { ...options, deadline: forever() })).toBe(true);
    expect(await searchDatabase(owner, tenant.tenantId)).toEqual({});
  });

  test('whose rows the erasure did not find at first is not called erased', async () => {
    const tenant = await database.addTenant('shared');
    await addEmployees(tenant, 1);
    const options = { store: 'database test', found: { placements: 1 }, deadline: forever() };
    await expect(eraseDatabase(owner, tenant.tenantId, options)).rejects.toThrow(ErasureIncomplete);
    expect(await searchDatabase(owner, tenant.tenantId)).toMatchObject({ placements: 1 });
    expect(await erase(tenant.tenantId)).toBe(true);
  });
});

test('statistics of tables that have become empty are told, and no others', async () => {
  const fresh = await TestDatabase.clone();
  try {
    const client = await fresh.connect('owner');
    const tenants = [await fresh.addTenant('shared'), await fresh.addTenant('shared')];
    for (const { tenantId, epoch, login } of tenants) {
      const session = await fresh.connect(login);
      await session.query('BEGIN');
      await session.query('SELECT tenancy.enter($1::uuid, $2::bigint, $3)', [tenantId, epoch, 'write']);
      await session.query(
        `INSERT INTO employees (email, first_name, last_name) SELECT n || $1, 'Ada', 'L' FROM generate_series(1, 9) n`,
        [`@${tenantId}.test`],
      );
      await session.query('COMMIT');
      await session.end();
    }
    const superuser = await fresh.connect('superuser');
    await superuser.query(
      `INSERT INTO tenancy.captured_changes SELECT $1, 'employees', '{}' FROM generate_series(1, 9)`,
      [tenants[1]!.tenantId],
    );
    await superuser.query('ANALYZE shared.employees, tenancy.placement, tenancy.captured_changes');
    const left: unknown[] = [];
    for (const { tenantId } of tenants) {
      const found = await searchDatabase(client, tenantId);
      await eraseDatabase(client, tenantId, { store: 'database test', found, deadline: forever() });
      left.push(await statisticsLeft(client, tenantId, found));
    }
    const { rows } = await superuser.query<{ names: string }>(
      `select string_agg(distinct tablename, ', ') as names from pg_stats
       where schemaname in ('shared', 'tenancy') and tablename not like 'idx_%'
         and concat(most_common_vals::text, histogram_bounds::text) like $1`,
      [`%${tenants[1]!.tenantId}%`],
    );
    expect(rows).toEqual([{ names: 'captured_changes, employees' }]);
    expect(left).toEqual([
      [],
      [
        expect.objectContaining({
          count: 2,
          what: expect.stringMatching(/: employees, tenancy\.captured_changes$/),
          until: null,
        }),
      ],
    ]);
  } finally {
    await fresh.drop();
  }
});

describe('a tenant with a schema of its own', () => {
  test('loses its schemas, those that restores and moves have left, and its roles', async () => {
    const [tenant, neighbour] = [await database.addTenant('schema'), await database.addTenant('schema')];
    await addEmployees(tenant, 4);
    await addEmployees(neighbour, 1);
    const { tenantId } = tenant;
    const leftName = `${tenant.schemaName}a7`;
    const password = { password: 'left by a move', connectionLimit: 5 };
    await createTenantSchema(owner, { tenantId, schemaName: leftName, roleName: leftName, ...password });
    // An undo schema: of the tenant's one role.
    const kept = keptSchemaName(tenantId, '1a2');
    await createTenantSchema(owner, { tenantId, schemaName: kept, roleName: tenant.roleName, ...password });
    await owner.query('insert into tenancy.retried_requests (tenant_id, epoch, requests) values ($1, 1, 3)', [
      tenantId,
    ]);
    expect(await searchDatabase(owner, tenantId)).toEqual({
      schemas: 3,
      roles: 2,
      placements: 1,
      'counts of repeated requests': 1,
    });
    expect(await countSchemaRows(owner, tenantId)).toMatchObject({ 'rows of employees': 4 });

    expect(await erase(tenantId)).toBe(true);

    expect(await searchDatabase(owner, tenantId)).toEqual({});
    expect(await searchDatabase(owner, neighbour.tenantId)).toEqual({ schemas: 1, roles: 1, placements: 1 });
    expect((await addEmployees(neighbour, 0)).rowCount).toBe(0);
  });
});
