import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant, enterTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

const forward = { host: 'elsewhere', epoch: 2 };

let database: TestDatabase;
let owner: pg.Client;
let starter: pg.Client;
let shared: TestTenant;
let schema: TestTenant;
let schemaRole: pg.Client;

beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  starter = await database.connect('starter');
  shared = await database.addTenant('shared');
  schema = await database.addTenant('schema');
  schemaRole = await database.connect(schema.login);
});
afterAll(() => database.drop());

async function place(tenant: TestTenant, columns: string): Promise<void> {
  await owner.query(`UPDATE tenancy.placement SET ${columns} WHERE tenant_id = $1`, [tenant.tenantId]);
}

describe.each(['read', 'write'] as const)('entering to %s is refused', (access) => {
  test('for a tenant that is not placed here', async () => {
    const unknown = { tenantId: '00000000-0000-4000-8000-000000000000', epoch: 1 };
    await expect(enterTenant(starter, unknown, access)).rejects.toMatchObject({ code: 'TN004' });
  });

  test.each([0, 2])('with epoch %d instead of 1', async (epoch) => {
    const refused = { code: 'TN003', detail: undefined };
    await expect(enterTenant(starter, { ...shared, epoch }, access)).rejects.toMatchObject(refused);
  });

  test('for a role that does not own the tenant', async () => {
    const other = await database.addTenant('schema');
    const refused = { code: 'TN004' };
    await expect(enterTenant(schemaRole, shared, access)).rejects.toMatchObject(refused);
    await expect(enterTenant(schemaRole, other, access)).rejects.toMatchObject(refused);
    await expect(enterTenant(starter, schema, access)).rejects.toMatchObject(refused);
    await expect(enterTenant(owner, shared, access)).rejects.toMatchObject(refused);
  });

  test('by epoch before by role, so that a stranger learns no more than that', async () => {
    await expect(enterTenant(schemaRole, { ...shared, epoch: 2 }, access)).rejects.toMatchObject({
      code: 'TN003',
      detail: undefined,
    });
  });

  test('after the tenant has left, telling its role where to', async () => {
    const left = await database.addTenant('shared');
    await place(left, `state = 'moved', forward = '${JSON.stringify(forward)}'`);
    const error = await enterTenant(starter, left, access).catch((refused) => refused);
    expect(error).toMatchObject({ code: 'TN002' });
    expect(JSON.parse(error.detail)).toEqual(forward);
    await expect(enterTenant(schemaRole, left, access)).rejects.toMatchObject({
      code: 'TN004',
      detail: undefined,
    });
  });

  test('after a reshape, telling the new place to the role of the previous epoch only', async () => {
    const reshaped = await database.addTenant('schema');
    await place(
      reshaped,
      `epoch = 3, forward = '${JSON.stringify(forward)}', previous_role_name = 'strata_starter'`,
    );
    const error = await enterTenant(starter, { ...reshaped, epoch: 2 }, access).catch((refused) => refused);
    expect(error).toMatchObject({ code: 'TN002' });
    expect(JSON.parse(error.detail)).toEqual(forward);
    for (const [client, epoch] of [
      [schemaRole, 2],
      [starter, 1],
      [starter, 4],
    ] as const) {
      await expect(enterTenant(client, { ...reshaped, epoch }, access)).rejects.toMatchObject({
        code: 'TN003',
        detail: undefined,
      });
    }
  });

  test('at the wrong isolation level', async () => {
    const wrong = access === 'read' ? 'READ COMMITTED' : 'REPEATABLE READ';
    await starter.query(`BEGIN ISOLATION LEVEL ${wrong}`);
    const entering = starter.query('SELECT tenancy.enter($1, 1, $2)', [shared.tenantId, access]);
    await expect(entering).rejects.toMatchObject({ code: '25000' });
    await starter.query('ROLLBACK');
  });
});

test('an unknown kind of access, or none, is refused', async () => {
  for (const access of ['WRITE', null]) {
    const entering = starter.query('SELECT tenancy.enter($1, 1, $2)', [shared.tenantId, access]);
    await expect(entering).rejects.toMatchObject({ code: '22023' });
  }
});

describe('a transaction that has entered', () => {
  test('to read cannot write, whatever it was begun as', async () => {
    await starter.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE');
    await starter.query(`SELECT tenancy.enter($1, 1, 'read')`, [shared.tenantId]);
    await starter.query('SAVEPOINT before');
    await expect(starter.query('DELETE FROM employees')).rejects.toMatchObject({ code: '25006' });
    await starter.query('ROLLBACK TO before');
    await expect(starter.query('SET TRANSACTION READ WRITE')).rejects.toMatchObject({ code: '25001' });
    await starter.query('ROLLBACK');
  });

  test.each(['COMMIT', 'ROLLBACK'])('leaves nothing on the connection after %s', async (end) => {
    const settings = `SELECT current_setting('search_path') AS path, current_setting('app.current_tenant', true) AS tenant,
      current_setting('app.capture', true) AS capture, current_setting('transaction_read_only') AS read_only`;
    await enterTenant(starter, shared, 'read');
    expect((await starter.query(settings)).rows).toEqual([
      { path: 'shared, pg_temp', tenant: shared.tenantId, capture: 'off', read_only: 'on' },
    ]);
    await starter.query(end);
    expect((await starter.query(settings)).rows).toEqual([
      { path: '""', tenant: '', capture: '', read_only: 'off' },
    ]);
    await expect(starter.query('SELECT * FROM employees')).rejects.toMatchObject({ code: '42P01' });
    await expect(starter.query('SELECT * FROM shared.employees')).rejects.toMatchObject({ code: 'TN004' });
    await expect(starter.query('SELECT tenancy.current_tenant()')).rejects.toMatchObject({ code: 'TN004' });
    expect((await starter.query('SELECT name FROM pg_cursors')).rows).toEqual([]);
  });

  test('tells triggers whether a move captures changes', async () => {
    const tenant = await database.addTenant('shared');
    await place(tenant, 'capture = true');
    const capture = await asTenant(starter, tenant, 'write', () =>
      starter.query(`SELECT current_setting('app.capture') AS capture`),
    );
    expect(capture.rows).toEqual([{ capture: 'on' }]);
  });

  test('keeps seeing the rows it entered upon when the tenant leaves meanwhile', async () => {
    const tenant = await database.addTenant('shared');
    const insert = `INSERT INTO skills (skill_name) VALUES ('sailing')`;
    await asTenant(starter, tenant, 'write', () => starter.query(insert));
    const reader = await database.connect('starter');
    await enterTenant(reader, tenant, 'read');
    await place(tenant, `state = 'moved', forward = '{}'`);
    await owner.query('BEGIN');
    await owner.query('SELECT tenancy.enter_move($1, NULL)', [tenant.tenantId]);
    await owner.query('DELETE FROM shared.skills');
    await owner.query('COMMIT');
    expect((await reader.query('SELECT skill_name FROM skills')).rows).toEqual([{ skill_name: 'sailing' }]);
    await reader.query('COMMIT');
  });
});

test('without a tenant every statement on shared tables raises instead of finding nothing', async () => {
  for (const statement of [
    'SELECT * FROM shared.employees',
    'UPDATE shared.skills SET description = NULL',
    'DELETE FROM shared.teams',
    `INSERT INTO shared.skills (skill_name) VALUES ('x')`,
    `INSERT INTO shared.skills (tenant_id, skill_name) VALUES ('${shared.tenantId}', 'x')`,
    'SELECT * FROM shared.audit_log',
    'SELECT * FROM shared.assessment_results',
  ]) {
    await expect(starter.query(statement), statement).rejects.toMatchObject({ code: 'TN004' });
  }
});

test('request roles neither read nor change placements, nor enter as movers', async () => {
  for (const client of [starter, schemaRole]) {
    for (const statement of [
      'SELECT * FROM tenancy.placement',
      'UPDATE tenancy.placement SET role_name = session_user',
      `SELECT tenancy.enter_move('${shared.tenantId}', NULL)`,
      `SELECT tenancy.await_write_lock('${shared.tenantId}')`,
      'CREATE TABLE tenancy.own (id int)',
      'CREATE TEMPORARY TABLE placement (id int)',
    ]) {
      await expect(client.query(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
  }
});
