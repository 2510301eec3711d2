import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
});
afterAll(() => database.drop());

describe.each(['shared', 'schema'] as const)('under the %s model', (model) => {
  let tenant: TestTenant;
  let client: pg.Client;
  beforeEach(async () => {
    tenant = await database.addTenant(model);
    client = await database.connect(tenant.login);
  });

  const write = (...statements: string[]) =>
    asTenant(client, tenant, 'write', async () => {
      const ids: string[] = [];
      for (const statement of statements)
        ids.push(...(await client.query(statement)).rows.map((row) => row.id));
      return ids;
    });
  const capture = (on: boolean) =>
    owner.query('update tenancy.placement set capture = $2 where tenant_id = $1', [tenant.tenantId, on]);
  const captured = async () => {
    const { rows } = await owner.query(
      'delete from tenancy.captured_changes where tenant_id = $1 returning table_name, row_key',
      [tenant.tenantId],
    );
    return rows.map(({ table_name, row_key }) => [table_name, ...Object.values(row_key as object).sort()]);
  };
  const addEmployee = (email: string) =>
    `INSERT INTO employees (email, first_name, last_name) VALUES ('${email}', 'A', 'B') RETURNING employee_id AS id`;

  test('nothing is noted while no move captures', async () => {
    await write(
      addEmployee('a@b.test'),
      'UPDATE employees SET first_name = last_name',
      'DELETE FROM employees',
    );
    expect(await captured()).toEqual([]);
  });

  test('every row that a request inserts, updates or deletes is noted, also by cascades', async () => {
    const [manager, member] = await write(addEmployee('m@b.test'), addEmployee('e@b.test'));
    const [team] = await write(
      `UPDATE employees SET manager_id = '${manager}' WHERE employee_id = '${member}' RETURNING employee_id AS _`,
      `INSERT INTO teams (team_name) VALUES ('T') RETURNING team_id AS id`,
    ).then((ids) => ids.filter(Boolean));
    await write(`INSERT INTO team_members (team_id, employee_id) VALUES ('${team}', '${manager}')`);
    await capture(true);
    await write(`DELETE FROM employees WHERE employee_id = '${manager}'`);
    expect((await captured()).sort()).toEqual(
      [
        ['employees', manager],
        ['employees', member],
        ['team_members', ...[manager, team].sort()],
      ].sort(),
    );
  });

  test('a key that changes is noted as it was and as it is', async () => {
    const [id] = await write(addEmployee('k@b.test'));
    await capture(true);
    const fresh = '00000000-0000-4000-8000-000000000001';
    await write(`UPDATE employees SET employee_id = '${fresh}' WHERE employee_id = '${id}'`);
    expect((await captured()).sort()).toEqual(
      [
        ['employees', fresh],
        ['employees', id],
      ].sort(),
    );
  });

  test('rows of partitioned tables are noted under the name of the table', async () => {
    await capture(true);
    await write(
      `INSERT INTO audit_log (action, resource_type) VALUES ('a', 'b') RETURNING log_id AS id`,
      `INSERT INTO assessment_results (status) VALUES ('abandoned') RETURNING result_id AS id`,
    );
    expect((await captured()).map(([table]) => table).sort()).toEqual(['assessment_results', 'audit_log']);
  });

  test('a request that rolls back leaves nothing', async () => {
    await capture(true);
    const failing = write(addEmployee('r@b.test'), 'SELECT 1 / 0 AS id');
    await expect(failing).rejects.toMatchObject({ code: '22012' });
    expect(await captured()).toEqual([]);
  });

  test('requests can neither read nor change what was noted', async () => {
    await expect(write('DELETE FROM tenancy.captured_changes')).rejects.toMatchObject({ code: '42501' });
    await expect(write('SELECT FROM tenancy.captured_changes')).rejects.toMatchObject({ code: '42501' });
  });
});
