import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { asTenant, enterTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let client: pg.Client;
let mine: TestTenant;
let theirs: TestTenant;

beforeAll(async () => {
  database = await TestDatabase.clone();
  client = await database.connect('starter');
  mine = await database.addTenant('shared');
  theirs = await database.addTenant('shared');
  for (const tenant of [mine, theirs]) {
    await asTenant(client, tenant, 'write', () =>
      client.query('INSERT INTO skills (skill_name) VALUES ($1)', [tenant.tenantId]),
    );
  }
});
afterAll(() => database.drop());
beforeEach(() => client.query('ROLLBACK'));

const visible = async (): Promise<string[]> =>
  (await client.query('SELECT skill_name FROM shared.skills')).rows.map(({ skill_name }) => skill_name);

/** What an expression injected into a statement could call, with `$1` standing for the victim's id. */
const injected = (call: string) => client.query(`SELECT ${call}`.replaceAll('$1', `'${theirs.tenantId}'`));

describe('an expression injected into a tenant’s transaction', () => {
  test('cannot become another tenant by overwriting the setting', async () => {
    await enterTenant(client, mine, 'read');
    await injected(`set_config('app.current_tenant', $1, true)`);
    expect(await visible()).toEqual([mine.tenantId]);
  });

  test('cannot become another tenant for the session, either', async () => {
    await enterTenant(client, mine, 'read');
    await injected(`set_config('app.current_tenant', $1, false)`);
    await client.query('COMMIT');
    await expect(visible()).rejects.toMatchObject({ code: '34000' });
    await client.query(`SELECT set_config('app.current_tenant', '', false)`);
  });

  test.each(['before', `after wiping the setting`])('cannot enter another tenant, %s', async (how) => {
    await enterTenant(client, mine, 'read');
    if (how !== 'before') await injected(`set_config('app.current_tenant', '', true)`);
    await expect(injected(`tenancy.enter($1, 1, 'read')`)).rejects.toMatchObject({ code: '42P03' });
  });

  test('cannot enter another tenant by statements inside functions of PostgreSQL', async () => {
    for (const call of [
      `query_to_xml('CLOSE "tenancy entered"', true, false, '')`,
      `query_to_xml('COMMIT', true, false, '')`,
      `query_to_xml('DECLARE "tenancy entered" CURSOR FOR SELECT 1', true, false, '')`,
      `query_to_xml('SET LOCAL ROLE strata_owner', true, false, '')`,
    ]) {
      await enterTenant(client, mine, 'write');
      await expect(injected(call), call).rejects.toThrow();
      await client.query('ROLLBACK');
    }
  });

  test('changes nothing by reading the cursor that holds the tenant', async () => {
    await enterTenant(client, mine, 'read');
    await injected(`cursor_to_xml('tenancy entered', 10, true, false, '')`);
    expect(await visible()).toEqual([mine.tenantId]);
  });

  test('cannot lead statements elsewhere by the search path: nothing there is its own', async () => {
    await enterTenant(client, mine, 'write');
    await injected(`set_config('search_path', 'tenancy, public, pg_temp', true)`);
    await expect(client.query('SELECT * FROM placement')).rejects.toMatchObject({ code: '42501' });
  });
});

describe('a row of another tenant', () => {
  test('cannot be written, whatever the statement names', async () => {
    const values = `(tenant_id, skill_name) VALUES ('${theirs.tenantId}', 'planted')`;
    for (const [statement, code] of [
      [`INSERT INTO skills ${values}`, '42501'],
      [`UPDATE skills SET tenant_id = '${theirs.tenantId}'`, '42501'],
      [`MERGE INTO skills s USING (SELECT 1) x ON false WHEN NOT MATCHED THEN INSERT ${values}`, '42501'],
    ] as const) {
      await enterTenant(client, mine, 'write');
      await expect(client.query(statement), statement).rejects.toMatchObject({ code });
      await client.query('ROLLBACK');
    }
  });

  test('cannot be referred to', async () => {
    const employee = randomUUID();
    await asTenant(client, theirs, 'write', () =>
      client.query(
        `INSERT INTO employees (employee_id, email, first_name, last_name) VALUES ($1, 'a@b.test', 'A', 'B')`,
        [employee],
      ),
    );
    await enterTenant(client, mine, 'write');
    await expect(
      client.query(`INSERT INTO teams (team_name, manager_id) VALUES ('t', $1)`, [employee]),
    ).rejects.toMatchObject({ code: '23503' });
  });

  test('is neither found, changed nor deleted through parent or partition', async () => {
    await enterTenant(client, mine, 'write');
    for (const statement of [
      'UPDATE skills SET description = $1',
      'DELETE FROM skills WHERE skill_name = $1',
    ]) {
      const { rowCount } = await client.query(
        `${statement} RETURNING skill_name`.replace('$1', `'${theirs.tenantId}'`),
      );
      expect(rowCount).toBe(statement.startsWith('UPDATE') ? 1 : 0);
    }
    await expect(client.query('SELECT * FROM assessment_results_p0')).rejects.toMatchObject({
      code: '42501',
    });
  });
});

test('a tenant’s own role reads no other schema and no shared table', async () => {
  const [one, other] = [await database.addTenant('schema'), await database.addTenant('schema')];
  const session = await database.connect(one.login);
  for (const table of [`${other.schemaName}.employees`, 'shared.employees', 'shared.audit_log_default']) {
    await enterTenant(session, one, 'read');
    await expect(session.query(`SELECT * FROM ${table}`), table).rejects.toMatchObject({ code: '42501' });
    await session.query('ROLLBACK');
  }
});
