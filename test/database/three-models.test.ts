import { randomUUID } from 'node:crypto';
import type { Compilable } from 'kysely';
import { sql } from 'kysely';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { valueParsers } from '../../functions/database/session/value-parsers.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

const models = ['shared', 'schema', 'dedicated'] as const;
type Model = (typeof models)[number];

let database: TestDatabase;
const tenants = {} as Record<Model, TestTenant>;
const clients = {} as Record<Model, pg.Client>;

beforeAll(async () => {
  database = await TestDatabase.clone();
  for (const model of models) {
    tenants[model] = await database.addTenant(model);
    clients[model] = await database.connect(tenants[model].login);
  }
});
afterAll(() => database.drop());

function run<Row>(model: Model, statement: Compilable<Row>): Promise<Row[]> {
  const { sql: text, parameters } = statement.compile();
  const query = { text, values: parameters as unknown[], types: valueParsers };
  return asTenant(
    clients[model],
    tenants[model],
    'write',
    async () => (await clients[model].query(query)).rows,
  );
}

async function inserted<Row>(model: Model, statement: Compilable<Row>): Promise<Row> {
  const [row] = await run(model, statement);
  return row as Row;
}

const person = (email = `${randomUUID()}@test`) => ({ email, first_name: 'Ada', last_name: 'L' });
const addEmployee = (model: Model, columns: object = {}) =>
  inserted(
    model,
    tenantSql
      .insertInto('employees')
      .values({ ...person(), ...columns })
      .returningAll(),
  );

describe('columns', () => {
  const describeColumns = async (schema: string) => {
    const superuser = await database.connect('superuser');
    const { rows } = await superuser.query(
      `SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
              a.attnotnull AS required, pg_get_expr(d.adbin, d.adrelid) AS default
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relnamespace = $1::regnamespace AND c.relname = ANY ($2) AND a.attname <> 'tenant_id'
       ORDER BY 1, a.attnum`,
      [schema, tenantTables.map(({ name }) => name)],
    );
    return rows;
  };

  test('and their types, defaults and order are the same under all models', async () => {
    const shared = await describeColumns('shared');
    expect(shared.length).toBe(tenantTables.flatMap(({ columns }) => Object.keys(columns)).length);
    expect(await describeColumns(tenants.schema.schemaName)).toEqual(shared);
    expect(await describeColumns(tenants.dedicated.schemaName)).toEqual(shared);
    const times = shared.filter(({ column }) => column.endsWith('_at'));
    expect(new Set(times.map(({ type }) => type))).toEqual(new Set(['timestamp with time zone']));
  });

  test('allow the same values: checks have the same names and rules', async () => {
    const superuser = await database.connect('superuser');
    const constraints = async (schema: string, type: string) =>
      (
        await superuser.query(
          `SELECT conname, CASE contype WHEN 'c' THEN pg_get_constraintdef(oid) END AS rule, confdeltype
           FROM pg_constraint WHERE connamespace = $1::regnamespace AND contype = $2
             AND conrelid IN (SELECT oid FROM pg_class WHERE relname = ANY ($3)) ORDER BY 1`,
          [schema, type, tenantTables.map(({ name }) => name)],
        )
      ).rows;
    for (const type of ['c', 'f', 'p', 'u']) {
      const shared = await constraints('shared', type);
      expect(shared.length).toBeGreaterThan(0);
      expect(await constraints(tenants.schema.schemaName, type)).toEqual(shared);
    }
  });
});

describe.each(models)('under %s', (model) => {
  test('rows get their defaults, and come back as the types of the query builder say', async () => {
    const row = await addEmployee(model, {
      profile_data: JSON.stringify(['a', { b: 1 }]),
      hire_date: '2024-02-29',
    });
    expect(row).toMatchObject({ status: 'active', profile_data: ['a', { b: 1 }], hire_date: '2024-02-29' });
    expect(row.employee_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(row.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    expect(row.updated_at).toBe(row.created_at);
    const skill = await inserted(
      model,
      tenantSql.insertInto('skills').values({ skill_name: 's' }).returningAll(),
    );
    const known = { employee_id: row.employee_id, skill_id: skill.skill_id, years_of_experience: 2.25 };
    const employeeSkill = await inserted(
      model,
      tenantSql.insertInto('employee_skills').values(known).returningAll(),
    );
    expect(employeeSkill).toMatchObject({ years_of_experience: 2.25, verified: false });
  });

  test('an email belongs to one employee, and the constraint’s name says which rule it was', async () => {
    const { email } = await addEmployee(model);
    await expect(addEmployee(model, { email })).rejects.toMatchObject({
      code: '23505',
      constraint: 'employees_email_key',
    });
    await expect(addEmployee(model, { status: 'retired' })).rejects.toMatchObject({
      code: '23514',
      constraint: 'employees_status_check',
    });
    await expect(addEmployee(model, { manager_id: randomUUID() })).rejects.toMatchObject({
      code: '23503',
      constraint: 'employees_manager_id_fkey',
    });
  });

  test('an upsert names its constraint', async () => {
    const key = { idempotency_key: 'k', request_method: 'POST', request_path: '/x', request_hash: 'h' };
    const upsert = tenantSql
      .insertInto('idempotency_keys')
      .values(key)
      .onConflict((conflict) =>
        conflict.constraint('idempotency_keys_pkey').doUpdateSet({ response_status: 201 }),
      )
      .returning('response_status');
    expect(await run(model, upsert)).toEqual([{ response_status: null }]);
    expect(await run(model, upsert)).toEqual([{ response_status: 201 }]);
  });

  test('deleting an employee takes along what is theirs and lets go of whom they managed', async () => {
    const boss = await addEmployee(model);
    const report = await addEmployee(model, { manager_id: boss.employee_id });
    const team = await inserted(
      model,
      tenantSql.insertInto('teams').values({ team_name: 't', manager_id: boss.employee_id }).returningAll(),
    );
    const skill = await inserted(
      model,
      tenantSql.insertInto('skills').values({ skill_name: 's' }).returningAll(),
    );
    const theirs = { employee_id: boss.employee_id };
    await run(model, tenantSql.insertInto('team_members').values({ ...theirs, team_id: team.team_id }));
    await run(model, tenantSql.insertInto('employee_skills').values({ ...theirs, skill_id: skill.skill_id }));
    await run(model, tenantSql.insertInto('certifications').values({ ...theirs, certification_name: 'c' }));
    await run(model, tenantSql.deleteFrom('employees').where('employee_id', '=', boss.employee_id));
    for (const table of ['team_members', 'employee_skills', 'certifications'] as const) {
      const left = tenantSql
        .selectFrom(table)
        .select('employee_id')
        .where('employee_id', '=', boss.employee_id);
      expect(await run(model, left), table).toEqual([]);
    }
    const managed = tenantSql.selectFrom('employees').select('manager_id');
    expect(await run(model, managed.where('employee_id', '=', report.employee_id))).toEqual([
      { manager_id: null },
    ]);
    expect(await run(model, tenantSql.selectFrom('teams').select('manager_id'))).toEqual([
      { manager_id: null },
    ]);
  });

  test('an employee with assessments or results stays', async () => {
    const author = await addEmployee(model);
    const subject = await addEmployee(model);
    const assessment = await inserted(
      model,
      tenantSql
        .insertInto('assessments')
        .values({ assessment_name: 'a', created_by: author.employee_id })
        .returningAll(),
    );
    const result = { assessment_id: assessment.assessment_id, employee_id: subject.employee_id, score: 99.5 };
    const added = await inserted(
      model,
      tenantSql.insertInto('assessment_results').values(result).returningAll(),
    );
    expect(added).toMatchObject({ status: 'in_progress', score: 99.5 });
    for (const { employee_id } of [author, subject]) {
      const remove = tenantSql.deleteFrom('employees').where('employee_id', '=', employee_id);
      await expect(run(model, remove)).rejects.toMatchObject({ code: '23503' });
    }
  });

  test('the audit log takes a line of this month, and of one without a partition', async () => {
    const line = { action: 'x', resource_type: 'y', actor: 'z' };
    await run(model, tenantSql.insertInto('audit_log').values(line));
    await run(
      model,
      tenantSql.insertInto('audit_log').values({ ...line, created_at: '2001-01-01T00:00:00Z' }),
    );
    expect(await run(model, tenantSql.selectFrom('audit_log').select('action'))).toHaveLength(2);
  });

  test('a page of a filtered list is read in the order of its index', async () => {
    await asTenant(clients[model], tenants[model], 'write', () =>
      clients[model].query(
        `INSERT INTO employees (email, first_name, last_name, department, created_at)
         SELECT n || '@page', 'A', 'B', 'd' || n % 50, now() - n * interval '1 s' FROM generate_series(1, 10000) n`,
      ),
    );
    const superuser = await database.connect('superuser');
    await superuser.query(`ANALYZE ${tenants[model].schemaName}.employees`);
    const page = tenantSql
      .selectFrom('employees')
      .selectAll()
      .where('department', '=', 'd1')
      .where(sql<boolean>`(created_at, employee_id) > (now() - interval '1 day', ${randomUUID()}::uuid)`)
      .orderBy('created_at')
      .orderBy('employee_id')
      .limit(51);
    const plan = JSON.stringify(
      await run(
        model,
        page.$call((query) => explained(query)),
      ),
    );
    expect(plan).toMatch(/idx_employees_(tenant_)?department/);
    expect(plan).not.toContain('Sort');
  });
});

function explained(query: Compilable<unknown>): Compilable<unknown> {
  return {
    compile: () => {
      const compiled = query.compile();
      return { ...compiled, sql: `EXPLAIN ${compiled.sql}` } as never;
    },
  };
}
