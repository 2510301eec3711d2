import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { MODELS, newEmployee, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

describe.each(MODELS)('a version in %s', (model) => {
  test('that a client has is a 304, by weak comparison; another one is not', async () => {
    const pathParameters = { employeeId: await api.addEmployee(model) };
    const get = (header: string) =>
      api.call(model, 'GET /employees/{employeeId}', {
        pathParameters,
        headers: { 'if-none-match': header },
      });
    const tag = String((await get('"other"')).headers.etag);
    for (const known of [tag, `W/${tag}`, `"a", W/${tag}`, `"x,y",${tag}`, '*']) {
      const answer = await get(known);
      expect([known, answer.status, answer.headers.etag, answer.text]).toEqual([known, 304, tag, undefined]);
    }
    for (const other of ['"other"', 'W/"other"', tag.slice(1, -1), `w/${tag.slice(0, -1)}x"`]) {
      expect((await get(other)).status).toBe(200);
    }
  });

  test('guards a change by strong comparison: a weak tag names no bytes', async () => {
    const pathParameters = { employeeId: await api.addEmployee(model) };
    const patch = (header: string) =>
      api.call(model, 'PATCH /employees/{employeeId}', {
        pathParameters,
        body: { jobTitle: 'Chemist' },
        headers: { 'if-match': header },
      });
    const read = await api.call(model, 'GET /employees/{employeeId}', { pathParameters });
    const tag = String(read.headers.etag);
    expect((await patch(`W/${tag}`)).status).toBe(412);
    expect((await patch(`"other", ${tag}`)).status).toBe(200);
    // A change is answered in full, whatever versions the client has.
    const again = await api.call(model, 'PATCH /employees/{employeeId}', {
      pathParameters,
      body: {},
      headers: { 'if-none-match': '*' },
    });
    expect(again.status).toBe(200);
  });

  const create = (route: string, body: object, key: string) =>
    api.call(model, route, { body, headers: { 'idempotency-key': key } });

  test('of a created resource is replayed byte by byte', async () => {
    const document = { zeta: 1, a: [1.5, 'ä\u2028"'], '10': true, b: { y: null, x: {} } };
    for (const [route, body] of [
      ['POST /employees', { ...newEmployee(), profileData: document }],
      ['POST /teams', { teamName: 'Team', description: 'long '.repeat(100) }],
      ['POST /skills', { skillName: 'Algebra', proficiencyLevels: ['b', 'a'] }],
    ] as const) {
      const first = await create(route, body, `key of ${route}`);
      const again = await create(route, body, `key of ${route}`);
      expect([again.status, again.headers['idempotency-replayed']]).toEqual([201, 'true']);
      expect([again.text, again.headers.etag, again.headers.location]).toEqual([
        first.text,
        first.headers.etag,
        first.headers.location,
      ]);
    }
  });

  test('that an older version kept is replayed, too', async () => {
    const body = newEmployee();
    const first = await create('POST /employees', body, 'older');
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(`UPDATE idempotency_keys SET response_body = $1 WHERE idempotency_key = 'older'`, [
        first.text,
      ]),
    );
    await client.end();
    const again = await create('POST /employees', body, 'older');
    expect([again.status, again.body]).toEqual([201, first.body]);
  });
});
