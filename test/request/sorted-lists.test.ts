import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { type TenantTable, tableAtVersion } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { toCamelCase, toSnakeCase } from '../../functions/resources/field-names.ts';
import { cursorIn, orderOf, readCursorIn, sortNames } from '../../functions/resources/list-order.ts';
import { assessmentResults } from '../../functions/tenant-data/assessment-results.ts';
import { assessments } from '../../functions/tenant-data/assessments.ts';
import { certifications } from '../../functions/tenant-data/certifications.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { frameworks } from '../../functions/tenant-data/frameworks.ts';
import { sortColumns } from '../../functions/tenant-data/resource.ts';
import { roles } from '../../functions/tenant-data/roles.ts';
import { employeeSkills, skills } from '../../functions/tenant-data/skills.ts';
import { teamMembers, teams } from '../../functions/tenant-data/teams.ts';
import { asTenant } from '../enter-tenant.ts';
import type { Model } from '../isolation/tenant-world.ts';
import { MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

const RESOURCES = [
  employees,
  teams,
  teamMembers,
  skills,
  employeeSkills,
  frameworks,
  roles,
  assessments,
  assessmentResults,
  certifications,
].map(({ resource }) => resource);
const tableOf = (name: string) =>
  tableAtVersion(
    tenantTables.find((table) => table.name === name) as TenantTable,
    TENANT_SCHEMA_VERSION,
  ) as TenantTable;

describe.each(RESOURCES)('a list of $table', (resource) => {
  const table = tableOf(resource.table);
  const columns = sortColumns(resource);
  /** The columns of each index and key, in their order. */
  const indexed = [table.primaryKey, ...table.unique, ...table.indexes.map((index) => index.columns)];

  test('is sorted by columns that an index has in that order, after the parent’s', () => {
    const parents = resource.key.slice(0, -1);
    for (const { column } of columns) {
      const wanted = [...(resource.parentTable ? parents : []), column];
      const isUnique = table.unique.some((key) => key.length === 1 && key[0] === column);
      const order = isUnique ? wanted : [...wanted, resource.order[1]];
      // The skills of one employee are few: the primary key's index finds them all.
      if (resource.table === 'employee_skills') continue;
      expect(
        indexed.map((index) => index.slice(0, order.length)),
        column,
      ).toContainEqual(order);
    }
  });

  test('knows the type of each, and whether it may be null', () => {
    const types = { time: 'timestamp with time zone', date: 'date', text: 'character', number: 'numeric' };
    for (const { column, type, nullable = false } of columns) {
      const spec = table.columns[column]?.spec;
      expect(spec?.type, column).toMatch(new RegExp(`^${types[type]}`));
      expect(spec?.nullable, column).toBe(nullable);
      expect(resource.columns).toContain(column);
    }
  });
});

/** Rows of one tenant for every list: values with ties, and nulls where they may be. */
interface List {
  readonly route: string;
  readonly pathParameters?: Record<string, string>;
  readonly resource: (typeof RESOURCES)[number];
}

async function fill(model: Model): Promise<List[]> {
  const tenant = api.tenant(model);
  const client = await tenant.database.connect(tenant.login);
  const [team, assessment, framework, author] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
  await asTenant(client, tenant, 'write', async () => {
    await client.query(
      `INSERT INTO employees (employee_id, email, first_name, last_name, hire_date, created_at)
       SELECT CASE n WHEN 1 THEN $1::uuid ELSE gen_random_uuid() END, n || '@sorted.test', 'A',
              (ARRAY['Ärger', 'ab', 'Ab', 'B ''"\\', E'\\U0001F600', 'é'])[1 + n % 6],
              CASE WHEN n % 3 > 0 THEN date '2020-01-01' + n % 4 END, now() - n % 5 * interval '1 s'
       FROM generate_series(1, 23) n`,
      [author],
    );
    await client.query(
      `INSERT INTO teams (team_id, team_name, created_at)
       SELECT CASE n WHEN 1 THEN $1::uuid ELSE gen_random_uuid() END, 'T' || n % 4, now() FROM generate_series(1, 9) n`,
      [team],
    );
    await client.query(
      `INSERT INTO team_members (team_id, employee_id, joined_at)
       SELECT $1, employee_id, created_at FROM employees WHERE email LIKE '%@sorted.test'`,
      [team],
    );
    await client.query(`INSERT INTO skills (skill_name) SELECT 'S' || n % 4 FROM generate_series(1, 9) n`);
    await client.query(
      `INSERT INTO employee_skills (employee_id, skill_id) SELECT $1, skill_id FROM skills`,
      [author],
    );
    await client.query(
      `INSERT INTO skills_frameworks (framework_id, framework_name, version)
       SELECT CASE n WHEN 1 THEN $1::uuid ELSE gen_random_uuid() END, 'F' || n % 3, n FROM generate_series(1, 9) n`,
      [framework],
    );
    await client.query(`INSERT INTO roles (role_name) SELECT 'R' || n % 4 FROM generate_series(1, 9) n`);
    await client.query(
      `INSERT INTO assessments (assessment_id, assessment_name)
       SELECT CASE n WHEN 1 THEN $1::uuid ELSE gen_random_uuid() END, 'A' || n % 4 FROM generate_series(1, 9) n`,
      [assessment],
    );
    await client.query(
      `INSERT INTO assessment_results (assessment_id, employee_id, status, completed_at, score)
       SELECT $1, $2, CASE WHEN n % 3 > 0 THEN 'completed' ELSE 'abandoned' END,
              CASE WHEN n % 3 > 0 THEN now() + n % 4 * interval '1 ms' END, CASE WHEN n % 3 > 0 THEN n % 5 * 12.5 END
       FROM generate_series(1, 17) n`,
      [assessment, author],
    );
    await client.query(
      `INSERT INTO certifications (employee_id, certification_name, expiry_date)
       SELECT $1, 'C' || n % 4, CASE WHEN n % 3 > 0 THEN date '2026-01-01' + n % 4 END
       FROM generate_series(1, 17) n`,
      [author],
    );
  });
  await client.end();
  const of = (route: string, resource: List['resource'], pathParameters?: Record<string, string>): List => ({
    route: `GET ${route}`,
    resource,
    ...(pathParameters ? { pathParameters } : {}),
  });
  return [
    of('/employees', employees.resource),
    of('/teams', teams.resource),
    of('/teams/{teamId}/members', teamMembers.resource, { teamId: team }),
    of('/skills', skills.resource),
    of('/employees/{employeeId}/skills', employeeSkills.resource, { employeeId: author }),
    of('/frameworks', frameworks.resource),
    of('/roles', roles.resource),
    of('/assessments', assessments.resource),
    of('/assessments/{assessmentId}/results', assessmentResults.resource, { assessmentId: assessment }),
    of('/certifications', certifications.resource),
  ];
}

describe.each(MODELS)('in %s', (model) => {
  let lists: readonly List[];
  beforeAll(async () => {
    lists = await fill(model);
  });

  const page = (list: List, query: Record<string, string>) =>
    api.call(model, list.route, {
      query,
      ...(list.pathParameters ? { pathParameters: list.pathParameters } : {}),
    });

  test('every list has the same rows in every order, page by page, each in its place', async () => {
    for (const list of lists) {
      const [, id] = list.resource.order;
      const key = toCamelCase(id);
      const all = (await page(list, { limit: '200' })).body.items as Record<string, unknown>[];
      expect(all.length, list.route).toBeGreaterThan(8);
      const orders: Record<string, unknown[]> = {};
      for (const sort of [undefined, ...sortNames(sortColumns(list.resource))]) {
        const items: Record<string, unknown>[] = [];
        let cursor: string | null = null;
        do {
          const answer = await page(list, {
            limit: '4',
            ...(sort ? { sort } : {}),
            ...(cursor ? { cursor } : {}),
          });
          expect(answer.status, `${list.route} ${sort} ${answer.text}`).toBe(200);
          items.push(...answer.body.items);
          cursor = answer.body.nextCursor;
        } while (cursor);
        const ids = items.map((item) => item[key]);
        expect(new Set(ids).size, `${list.route} ${sort}`).toBe(all.length);
        expect(ids, `${list.route} ${sort}`).toHaveLength(all.length);
        orders[sort ?? 'default'] = ids;
        if (!sort) continue;
        // One page holds the same order, and PostgreSQL puts nulls last in it.
        const whole = (await page(list, { limit: '200', sort })).body.items as Record<string, unknown>[];
        expect(whole.map((item) => item[key])).toEqual(ids);
        const values = whole.map((item) => item[sort.replace('-', '')]);
        const nulls = values.filter((value) => value === null).length;
        expect(sort.startsWith('-') ? values.slice(0, nulls) : values.slice(values.length - nulls)).toEqual(
          Array(nulls).fill(null),
        );
      }
      for (const [sort, ids] of Object.entries(orders)) {
        if (sort.startsWith('-'))
          expect(ids.toReversed(), `${list.route} ${sort}`).toEqual(orders[sort.slice(1)]);
      }
      expect(orders[toCamelCase(list.resource.order[0])]).toEqual(orders.default);
    }
  });

  test('numbers and dates are in their order', async () => {
    const results = lists[8] as List;
    const scores = (await page(results, { sort: '-score', limit: '200' })).body.items
      .map(({ score }: { score: number | null }) => score)
      .filter((score: number | null) => score !== null);
    expect(scores).toEqual([...scores].sort((one, other) => other - one));
    expect(scores[0]).toBe(50);
    const expiring = await page(lists[9] as List, { sort: 'expiryDate', expiringBefore: '2026-01-03' });
    const days = expiring.body.items.map(({ expiryDate }: { expiryDate: string }) => expiryDate);
    expect(days).toEqual([...days].sort());
    expect(new Set(days)).toEqual(new Set(['2026-01-01', '2026-01-02']));
    // A filter goes on over pages.
    const first = await page(lists[9] as List, {
      sort: '-expiryDate',
      expiringBefore: '2026-01-03',
      limit: '3',
    });
    const rest = await page(lists[9] as List, {
      sort: '-expiryDate',
      expiringBefore: '2026-01-03',
      cursor: first.body.nextCursor,
    });
    expect([...first.body.items, ...rest.body.items]).toHaveLength(days.length);
  });

  test('a cursor of another order is refused, and so is an unknown order', async () => {
    for (const list of lists) {
      const names = sortNames(sortColumns(list.resource));
      const { nextCursor } = (await page(list, { limit: '2' })).body;
      // The default order has its name, too.
      expect((await page(list, { cursor: nextCursor, sort: names[0] as string })).status).toBe(200);
      for (const sort of names.slice(1)) {
        const other = (await page(list, { limit: '2', sort })).body.nextCursor;
        for (const query of [
          { cursor: nextCursor, sort },
          { cursor: other },
          ...names.filter((name) => name !== sort).map((name) => ({ cursor: other, sort: name })),
        ]) {
          const answer = await page(list, query);
          expect([answer.status, answer.body.errors], `${list.route} ${sort}`).toEqual([
            400,
            [{ parameter: 'cursor', detail: 'is not a cursor of this list' }],
          ]);
        }
      }
      for (const sort of [
        'profileData',
        'first_name',
        '--createdAt',
        'createdAt,lastName',
        '-',
        '',
        '__proto__',
      ]) {
        const answer = await page(list, { sort });
        expect([answer.status, answer.body.errors[0].parameter], `${list.route} ${sort}`).toEqual([
          400,
          'sort',
        ]);
      }
    }
  });

  test('a sorted page is read in the order of its index, also after nulls', async () => {
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `INSERT INTO employees (email, first_name, last_name, hire_date)
         SELECT n || '@many.test', 'A', 'N' || n % 90, CASE WHEN n % 2 = 0 THEN date '2020-01-01' + n % 300 END
         FROM generate_series(1, 6000) n`,
      ),
    );
    const superuser = await tenant.database.connect('superuser');
    await superuser.query(`ANALYZE ${tenant.schemaName}.employees`);
    const { selectPage } = await import('../../functions/tenant-data/resource-statements.ts');
    const plain = { ...employees.resource, documents: [], columns: employees.resource.columns.slice(0, 10) };
    const resource = { ...plain, columns: plain.columns.filter((column) => column !== 'profile_data') };
    for (const [sort, value, index] of [
      ['lastName', 'N50', 'last_name'],
      ['-lastName', 'N50', 'last_name'],
      ['hireDate', '2020-05-05', 'hire_date'],
      ['-hireDate', null, 'hire_date'],
      ['email', '300@many.test', 'email'],
    ] as const) {
      const order = orderOf(sortColumns(employees.resource), 'employee_id', sort);
      const cursor = cursorIn(order, { [order.column]: value, employee_id: randomUUID() });
      const { sql: text, parameters } = selectPage(
        resource,
        { equals: {}, sort },
        { limit: 50, cursor },
      ).compile();
      const plan = await asTenant(client, tenant, 'read', () =>
        client.query(`EXPLAIN (FORMAT JSON) ${text}`, [...parameters]),
      );
      const described = JSON.stringify(plan.rows);
      expect(described, sort).toMatch(new RegExp(`(idx_employees_(tenant_)?${index}|employees_email_key)`));
      expect(described, sort).not.toContain('"Seq Scan"');
    }
    await client.end();
  });
});

describe('a cursor of an order', () => {
  const columns = [
    { column: 'created_at', type: 'time' },
    { column: 'last_name', type: 'text' },
    { column: 'hire_date', type: 'date', nullable: true },
    { column: 'score', type: 'number', nullable: true },
  ] as const;
  const id = '00000000-0000-4000-8000-000000000000';
  const cursor = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');

  test('holds every position that a row can have', () => {
    for (const [sort, value] of [
      [undefined, '2026-01-01T00:00:00.123456Z'],
      ['-createdAt', '2026-01-01T00:00:00Z'],
      ['lastName', '"\\ \u2028 Ⅷ 😀'.padEnd(255, '\u0001')],
      ['-hireDate', '2024-02-29'],
      ['hireDate', null],
      ['score', 12.25],
    ] as const) {
      const order = orderOf(columns, 'id', sort);
      const text = cursorIn(order, { [order.column]: value, id });
      expect(text.length).toBeLessThanOrEqual(4_096);
      expect(readCursorIn(order, text)).toEqual({ value, id });
    }
  });

  test.each([
    ['lastName', cursor(null, id, 'lastName')],
    ['lastName', cursor('a\0', id, 'lastName')],
    ['lastName', cursor('\ud800', id, 'lastName')],
    ['lastName', cursor('a', 'b', 'lastName')],
    ['lastName', cursor('a', id)],
    ['lastName', cursor('a', id, 'lastName', 1)],
    ['hireDate', cursor('2023-02-29', id, 'hireDate')],
    ['hireDate', cursor('0000-01-01', id, 'hireDate')],
    ['score', cursor('1', id, 'score')],
    ['score', 'AAAA'],
    ['-createdAt', cursor('2023-02-30T00:00:00Z', id, '-createdAt')],
    ['createdAt', cursor('2023-02-01T00:00:00Z', id, 'createdAt')],
  ])('of %s is refused: %s', (sort, text) => {
    expect(() => readCursorIn(orderOf(columns, 'id', sort), text)).toThrow(
      expect.objectContaining({ name: 'InvalidCursor' }),
    );
  });

  test('has names that lead back to columns', () => {
    for (const resource of RESOURCES) {
      for (const { column } of sortColumns(resource)) expect(toSnakeCase(toCamelCase(column))).toBe(column);
    }
  });
});
