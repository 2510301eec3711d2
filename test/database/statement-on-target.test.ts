import { randomUUID } from 'node:crypto';
import { type Expression, type OperationNodeSource, type RootOperationNode, sql } from 'kysely';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SchemaUpgrading } from '../../functions/database/errors.ts';
import { statementOnTarget, tablesOnTarget } from '../../functions/database/session/statement-on-target.ts';
import { compileStatement, tenantStatement } from '../../functions/database/session/tenant-sql.ts';
import { valueParsers } from '../../functions/database/session/value-parsers.ts';
import { jsonb, text, timestamptz, uuid } from '../../functions/database/tables/column.ts';
import { employees } from '../../functions/database/tables/people-tables.ts';
import { type TenantTable, tenantTable } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { type Actor, audited } from '../../functions/tenant-data/audit-log.ts';
import { anyTable, type Resource } from '../../functions/tenant-data/resource.ts';
import {
  insertOne,
  selectOne,
  selectPage,
  updateOne,
} from '../../functions/tenant-data/resource-statements.ts';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

/** A release to come: three more columns of employees, and one more table. The databases here are older. */
const NEXT = 3;
const tables: readonly TenantTable[] = [
  ...tenantTables.filter((table) => table !== (employees as TenantTable)),
  {
    ...employees,
    columns: {
      ...employees.columns,
      shown_name: text().since(NEXT),
      preferences: jsonb().since(NEXT),
      seen_at: timestamptz().since(NEXT).platformOnly(),
    },
  },
  tenantTable('badges', { badge_id: uuid().notNull() }, { primaryKey: ['badge_id'], since: NEXT }),
];
const lagging = tablesOnTarget(tables, NEXT - 1);
const resource: Resource = {
  table: 'employees',
  type: 'employee',
  key: ['employee_id'],
  order: ['created_at', 'employee_id'],
  columns: ['employee_id', 'email', 'first_name', 'shown_name', 'preferences', 'created_at'],
  searched: ['first_name', 'shown_name'],
  documents: ['preferences'],
  caseless: ['email'],
  hasUpdatedAt: true,
};
const actor = { kind: 'user', name: 'test', userId: undefined } as unknown as Actor;

const models = ['shared', 'schema', 'dedicated'] as const;
let database: TestDatabase;
const tenants = {} as Record<(typeof models)[number], TestTenant>;
const clients = {} as Record<(typeof models)[number], pg.Client>;
beforeAll(async () => {
  database = await TestDatabase.clone();
  for (const model of models) {
    tenants[model] = await database.addTenant(model);
    clients[model] = await database.connect(tenants[model].login);
  }
});
afterAll(() => database.drop());

const fitted = (statement: object) =>
  statementOnTarget(
    (statement as OperationNodeSource).toOperationNode() as RootOperationNode,
    lagging as never,
  );

describe.each(models)('on a lagging %s target', (model) => {
  async function run(statement: object): Promise<Record<string, unknown>[]> {
    const { sql: text, parameters } = compileStatement(fitted(statement));
    const query = { text, values: parameters as unknown[], types: valueParsers };
    return asTenant(
      clients[model],
      tenants[model],
      'write',
      async () => (await clients[model].query(query)).rows,
    );
  }
  const person = () => ({ email: `${randomUUID()}@test`, first_name: 'Ada', last_name: 'L' });

  test('missing columns read as null: of one row, of a page, and of what a change returns', async () => {
    const values = { ...person(), employee_id: randomUUID() };
    const entry = {
      action: 'employee.create',
      resourceType: 'employee',
      resourceId: values.employee_id,
      requestData: {},
      responseStatus: 201,
    };
    const [created] = await run(audited(insertOne(resource, values), actor, entry));
    expect(created).toMatchObject({ email: values.email, shown_name: null, preferences: null });
    const key = { employee_id: values.employee_id };
    expect(await run(selectOne(resource, key))).toEqual([created]);
    const page = await run(
      selectPage(resource, { equals: { email: values.email } }, { limit: 5, cursor: undefined }),
    );
    expect(page).toMatchObject([{ email: values.email, shown_name: null, preferences: null }]);
    const [changed] = await run(updateOne(resource, key, { first_name: 'Grace' }));
    expect(changed).toMatchObject({ first_name: 'Grace', shown_name: null });
  });

  test('a filter, a search and an order by a missing column see null', async () => {
    const { email } = (await run(insertOne(resource, person())))[0] as { email: string };
    const filtered = (equals: object, search?: string) =>
      run(selectPage(resource, { equals: { email, ...equals }, search }, { limit: 5, cursor: undefined }));
    expect(await filtered({ shown_name: 'x' })).toEqual([]);
    expect(await filtered({}, 'ada')).toHaveLength(1);
    const ordered = anyTable.selectFrom('employees').select('email').where('email', '=', email);
    expect(await run(ordered.orderBy('shown_name'))).toHaveLength(1);
    const lower = sql<boolean>`lower(${sql.ref('shown_name')}) IS NULL` as Expression<boolean>;
    expect(await run(ordered.where(lower as never))).toHaveLength(1);
  });

  test('what the platform alone writes, and a null, are left out of inserts and updates', async () => {
    const values = { ...person(), shown_name: null, seen_at: '2026-01-01T00:00:00Z' };
    const [row] = await run(insertOne(resource, values));
    const one = { employee_id: (row as { employee_id: string }).employee_id };
    const change = { first_name: 'Grace', preferences: null, seen_at: '2026-01-01T00:00:00Z' };
    expect(await run(updateOne(resource, one, change))).toMatchObject([{ first_name: 'Grace' }]);
    const several = [person(), { ...person(), seen_at: '2026-01-01T00:00:00Z' }];
    expect(await run(anyTable.insertInto('employees').values(several).returning('seen_at'))).toEqual([
      { seen_at: null },
      { seen_at: null },
    ]);
  });
});

test('a value for a missing column, and a missing table, are refused before anything is sent', () => {
  const person = { email: 'a@test', first_name: 'A', last_name: 'B' };
  const refused = [
    insertOne(resource, { ...person, shown_name: 'Al' }),
    insertOne({ ...resource, caseless: [] }, { ...person, shown_name: 'Al' }),
    anyTable.insertInto('employees').values([person, { ...person, shown_name: 'Al' }]),
    updateOne(resource, { employee_id: randomUUID() }, { shown_name: 'Al' }),
    updateOne(resource, { employee_id: randomUUID() }, { preferences: { a: 1 } }),
    anyTable.selectFrom('badges').select('badge_id'),
    tenantStatement(sql`SELECT count(*) FROM ${sql.table('badges')}`),
  ];
  for (const statement of refused) expect(() => fitted(statement)).toThrow(SchemaUpgrading);
});

test('a column that another table of the statement has under the same name stays', () => {
  const alike: readonly TenantTable[] = [
    tenantTable('one', { id: uuid().notNull(), note: text().since(2) }, { primaryKey: ['id'] }),
    tenantTable('two', { id: uuid().notNull(), note: text() }, { primaryKey: ['id'] }),
  ];
  const statement = anyTable.selectFrom('one').innerJoin('two', 'two.id', 'one.id').select('two.note');
  const node = statementOnTarget(statement.toOperationNode(), tablesOnTarget(alike, 1) as never);
  expect(compileStatement(node).sql).toContain('select "two"."note"');
});

test('a dropped column is missing from the version that drops it on', () => {
  const dropping: readonly TenantTable[] = [
    tenantTable('one', { id: uuid().notNull(), old: text().until(3) }, { primaryKey: ['id'] }),
  ];
  expect(tablesOnTarget(dropping, 2)).toBeUndefined();
  const select = anyTable.selectFrom('one').select(['id', 'old']).toOperationNode();
  expect(compileStatement(statementOnTarget(select, tablesOnTarget(dropping, 3) as never)).sql).toBe(
    'select "id", null::text as "old" from "one"',
  );
});
