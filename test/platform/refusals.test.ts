import { beforeAll, describe, expect, test } from 'vitest';
import {
  type Call,
  call,
  newEmployee,
  onboardOwnTenant,
  operatorToken,
  platform,
  userToken,
} from './running-platform.ts';

let slug: string;
let admin: string;
let operator: string;
beforeAll(async () => {
  slug = await onboardOwnTenant();
  admin = await userToken(slug);
  operator = await operatorToken();
});

const employees = async () => (await call('GET', '/employees?limit=200', { token: admin })).body.items.length;

describe('a refused request is told why and changes nothing', () => {
  const post = (raw: string, headers: Record<string, string> = {}): Call => ({ raw, headers });
  const valid = newEmployee();
  const cases: [name: string, status: number, request: Call][] = [
    ['malformed JSON', 400, post('{"email":')],
    ['an empty body', 400, post('')],
    ['a body that is no object', 400, post('[]')],
    ['a __proto__ key', 400, post(JSON.stringify(valid).replace('{', '{"__proto__":{"x":1},'))],
    ['a nested __proto__ key', 400, { body: { ...valid, profileData: JSON.parse('{"a":{"__proto__":1}}') } }],
    ['a NUL character', 400, { body: { ...valid, firstName: 'a\u0000b' } }],
    ['a lone surrogate', 400, { body: { ...valid, firstName: 'a\ud800' } }],
    ['an unknown field', 400, { body: { ...valid, tenantId: 'x' } }],
    ['a wrong type', 400, { body: { ...valid, firstName: 7 } }],
    ['an over-long string', 400, { body: { ...valid, firstName: 'x'.repeat(101) } }],
    ['an unknown status', 400, { body: { ...valid, status: 'gone' } }],
    ['a date that does not exist', 400, { body: { ...valid, hireDate: '2025-02-30' } }],
    ['a manager id that is no UUID', 400, { body: { ...valid, managerId: 'x' } }],
    [
      'a number beyond double precision',
      400,
      post(JSON.stringify({ ...valid, profileData: { n: 0 } }).replace('"n":0', '"n":1e999')),
    ],
    [
      'an integer that a double cannot hold',
      400,
      post(JSON.stringify({ ...valid, profileData: { n: 0 } }).replace('"n":0', '"n":12345678901234567890')),
    ],
    ['another media type', 415, post(JSON.stringify(valid), { 'content-type': 'text/plain' })],
    ['a body over 1 MiB', 413, { body: { ...valid, profileData: { x: 'y'.repeat(1024 * 1024) } } }],
  ];
  test.each(cases)('%s: %i', async (_name, status, request) => {
    const before = await employees();
    const answer = await call('POST', '/employees', { token: admin, ...request });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body).toMatchObject({ status, type: expect.stringMatching(/^urn:strata:problem:/) });
    expect(await employees()).toBe(before);
  });

  test.each([
    ['Latin-1', 400, {}],
    ['a content coding', 415, { 'content-encoding': 'gzip' }],
  ])('a body of other bytes than UTF-8 over the wire, %s: %i', async (_name, status, headers) => {
    const before = await employees();
    const answer = await fetch(`${platform().apiUrl}/employees`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${admin}`,
        'content-type': 'application/json',
        origin: 'https://app.example.com',
        ...(headers as Record<string, string>),
      },
      body: new Uint8Array(Buffer.from(JSON.stringify({ ...valid, firstName: 'Ren\xe9' }), 'latin1')),
    });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
    expect(answer.headers.get('access-control-expose-headers')).toContain('idempotency-replayed');
    expect(await employees()).toBe(before);
  });

  test.each([
    'limit=0',
    'limit=201',
    'limit=ten',
    'limit=1.5',
    'cursor=nonsense',
    'cursor=',
    'colour=red',
    'q=%00',
    'status=gone',
    'managerId=1',
  ])('GET /employees?%s: 400', async (query) => {
    const answer = await call('GET', `/employees?${query}`, { token: admin });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toHaveLength(1);
  });

  test.each(['x', '123', '00000000-0000-4000-8000-00000000000g', "'; DROP TABLE employees; --"])(
    'an id that is no UUID (%s) names nothing: 404',
    async (id) => {
      expect((await call('GET', `/employees/${encodeURIComponent(id)}`, { token: admin })).status).toBe(404);
    },
  );

  test('a required field cannot be removed by a patch', async () => {
    const { body } = await call('POST', '/employees', { token: admin, body: newEmployee() });
    const path = `/employees/${body.employeeId}`;
    expect((await call('PATCH', path, { token: admin, body: { email: null } })).status).toBe(400);
    expect((await call('GET', path, { token: admin })).body.email).toBe(body.email);
  });
});

describe('who is refused', () => {
  test('no token, a broken one, an unknown route: as API Gateway words it', async () => {
    const none = await call('GET', '/employees');
    expect([none.status, none.body]).toEqual([401, { message: 'Unauthorized' }]);
    const broken = await call('GET', '/employees', { token: `${admin.slice(0, -4)}AAAA` });
    expect([broken.status, broken.body]).toEqual([401, { message: 'Unauthorized' }]);
    const unknown = await call('GET', '/nothing', { token: admin });
    expect([unknown.status, unknown.body]).toEqual([404, { message: 'Not Found' }]);
    const scope = await call('GET', '/tenants', { token: admin });
    expect([scope.status, scope.body]).toEqual([403, { message: 'Forbidden' }]);
  });

  test('a viewer may read but not write', async () => {
    const viewer = await userToken(slug, 'viewer');
    expect((await call('GET', '/employees', { token: viewer })).status).toBe(200);
    const refused = await call('POST', '/employees', { token: viewer, body: newEmployee() });
    expect([refused.status, refused.body.type]).toEqual([403, 'urn:strata:problem:role-not-allowed']);
  });

  test('a tenant user naming any other tenant is refused alike, whether that one exists or not', async () => {
    for (const other of ['globex', 'nobody', '00000000-0000-4000-8000-000000000000']) {
      const answer = await call('GET', '/employees', { token: admin, headers: { 'x-tenant-id': other } });
      expect([answer.status, answer.body.type]).toEqual([403, 'urn:strata:problem:tenant-mismatch']);
    }
    const own = await call('GET', '/employees', {
      token: admin,
      headers: { 'x-tenant-id': slug.toUpperCase() },
    });
    expect(own.status).toBe(200);
  });

  test('an operator names a tenant, or is told to', async () => {
    expect((await call('GET', '/employees', { token: operator })).status).toBe(400);
    expect(
      (await call('GET', '/employees', { token: operator, headers: { 'x-tenant-id': 'nobody' } })).status,
    ).toBe(404);
    expect(
      (await call('GET', '/employees', { token: operator, headers: { 'x-tenant-id': 'globex' } })).status,
    ).toBe(200);
  });

  test('no error tells of stacks, SQL, hosts or other tenants', async () => {
    const answers = await Promise.all([
      call('POST', '/employees', { token: admin, raw: '{' }),
      call('GET', '/employees', { token: admin, headers: { 'x-tenant-id': 'globex' } }),
      call('GET', '/employees?cursor=x', { token: admin }),
    ]);
    for (const { body } of answers) {
      expect(JSON.stringify(body)).not.toMatch(/globex|acme|select|127\.0\.0\.1|node_modules|\.ts|at /i);
    }
  });
});
