import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { valueParsers } from '../../functions/database/session/value-parsers.ts';
import { toProblem } from '../../functions/http/problem-mapping.ts';
import { asTenant } from '../enter-tenant.ts';
import { MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

const TIMES = {
  '0001-01-01T00:00:00Z': '0001-01-01T00:00:00Z',
  '0001-01-01T15:59:00+15:59': '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999Z': '9999-12-31T23:59:59.999999Z',
  '2026-01-31T09:00:00.100000000+01:00': '2026-01-31T08:00:00.1Z',
};
const REFUSED = [
  '0001-01-01T00:00:00+00:01',
  '9999-12-31T23:59:59-14:00',
  '9999-12-31T23:59:59.9999999Z',
  '0000-06-01T00:00:00Z',
  '2026-01-31T09:00:00+16:00',
  '2026-01-31T09:00:00-23:59',
  '2026-01-31T09:00:00.0000001Z',
  '2026-02-29T09:00:00Z',
  '2026-01-31T24:00:00Z',
  '2026-01-31',
  '-4712-01-01T00:00:00Z',
  'infinity',
];

describe.each(MODELS)('a time in %s', (model) => {
  let path: { employeeId: string; skillId: string };
  const item = 'GET /employees/{employeeId}/skills/{skillId}';
  const patch = (lastAssessedAt: unknown) =>
    api.call(model, 'PATCH /employees/{employeeId}/skills/{skillId}', {
      pathParameters: path,
      body: { lastAssessedAt },
    });
  beforeAll(async () => {
    const employeeId = await api.addEmployee(model);
    const skill = await api.call(model, 'POST /skills', { body: { skillName: 'Algebra' } });
    path = { employeeId, skillId: skill.body.skillId };
    const body = { skillId: path.skillId };
    const added = await api.call(model, 'POST /employees/{employeeId}/skills', {
      pathParameters: path,
      body,
    });
    expect(added.status).toBe(201);
  });

  test.each(Object.entries(TIMES))('%s is stored and read as %s', async (given, told) => {
    expect((await patch(given)).body.lastAssessedAt).toBe(told);
    expect((await api.call(model, item, { pathParameters: path })).body.lastAssessedAt).toBe(told);
  });

  test.each(REFUSED)('%s is refused and changes nothing', async (given) => {
    const before = await api.call(model, item, { pathParameters: path });
    const refused = await patch(given);
    expect([refused.status, refused.body.errors?.[0]?.pointer]).toEqual([400, '/lastAssessedAt']);
    expect(refused.body.errors).toHaveLength(1);
    expect(await api.call(model, item, { pathParameters: path })).toEqual(before);
  });

  test.each([
    ['0001-12-31 23:59:00+00 BC', '0000-12-31T23:59:00Z'],
    ['0044-03-15 12:00:00+00 BC', '-000043-03-15T12:00:00Z'],
    ['10000-01-01 13:59:59.25+00', '+010000-01-01T13:59:59.25Z'],
    ['294276-12-31 23:59:59+00', expect.any(String)],
    ['infinity', 'infinity'],
    ['-infinity', '-infinity'],
  ])('%s, which an older version stored, breaks neither the item nor the list', async (stored, told) => {
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query('UPDATE employee_skills SET last_assessed_at = $1 WHERE employee_id = $2', [
        stored,
        path.employeeId,
      ]),
    );
    await client.end();
    const read = await api.call(model, item, { pathParameters: path });
    expect([read.status, read.body.lastAssessedAt]).toEqual([200, told]);
    const list = await api.call(model, 'GET /employees/{employeeId}/skills', { pathParameters: path });
    expect(list.body.items).toEqual([read.body]);
  });

  test.each(['0000-01-01', '2026-02-30', '10000-01-01', 'infinity'])(
    'the day %s is refused',
    async (hireDate) => {
      const refused = await api.call(model, 'PATCH /employees/{employeeId}', {
        pathParameters: path,
        body: { hireDate },
      });
      expect([refused.status, refused.body.errors?.[0]?.pointer]).toEqual([400, '/hireDate']);
    },
  );
});

test('a time is told in UTC whatever the session’s time zone is, without losing a digit', () => {
  const parse = valueParsers.getTypeParser(1184, 'text') as (text: string) => unknown;
  expect(parse('2026-01-31 10:00:00.123456+01')).toBe('2026-01-31T09:00:00.123456Z');
  expect(parse('2026-01-31 14:30:00+05:30')).toBe('2026-01-31T09:00:00Z');
  expect(parse('1880-01-01 00:00:00+00:53:28')).toBe('1879-12-31T23:06:32Z');
  expect(parse('something else')).toBe('something else');
});

test.each([
  ["SELECT '2026-01-01T00:00:00+16:00'::timestamptz", '22009'],
  ["SELECT '2026-02-30'::date", '22008'],
  ["SELECT 'x'::integer", '22P02'],
  ['SELECT 1000::numeric(4,2)', '22003'],
  ['SELECT nothing', '42703'],
])('a data exception is the client’s, other errors are ours: %s', async (statement, code) => {
  const client = await api.world.cell.connect('owner');
  const errors = [
    await client.query(statement).catch((error) => error),
    await api.world.registry.query(statement).catch((error) => error),
  ];
  await client.end();
  expect(errors.map((error) => error.code ?? error.sqlState)).toEqual([code, code]);
  const status = code.startsWith('22') ? 400 : 500;
  expect(errors.map((error) => toProblem(error).status)).toEqual([status, status]);
});
