import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await TestDatabase.clone();
});
afterAll(() => database.drop());

describe('enter', () => {
  test.each(['shared', 'schema', 'dedicated'] as const)('works under %s', async (model) => {
    const tenant = await database.addTenant(model);
    const c = await database.connect(tenant.login);
    await c.query(`BEGIN; SELECT tenancy.enter('${tenant.tenantId}', 1, 'write')`);
    await c.query(`insert into employees (email, first_name, last_name) values ('a@b.c','A','B')`);
    await c.query('COMMIT');
    await c.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT tenancy.enter('${tenant.tenantId}', 1, 'read')`,
    );
    expect((await c.query('select email from employees')).rows).toEqual([{ email: 'a@b.c' }]);
    await c.query('COMMIT');
  });
});
