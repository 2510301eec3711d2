import http from 'node:http';
import { beforeAll, describe, expect, test } from 'vitest';
import { call, newEmployee, onboardOwnTenant, platform, unique, userToken } from './running-platform.ts';

let slug: string;
let own: string;
let globex: string;
beforeAll(async () => {
  slug = await onboardOwnTenant();
  [own, globex] = await Promise.all([userToken(slug), userToken('globex')]);
});

/** A request with a Host of our own, which fetch would not send. */
function onHost(host: string, token: string): Promise<number> {
  const { port } = new URL(platform().apiUrl);
  return new Promise((done, failed) => {
    http
      .get({
        host: '127.0.0.1',
        port,
        path: '/employees',
        headers: { host: `${host}:${port}`, authorization: `Bearer ${token}` },
      })
      .once('response', (response) => {
        response.resume();
        done(response.statusCode ?? 0);
      })
      .once('error', failed);
  });
}

describe('which tenant a request is for', () => {
  test('a subdomain must name the token’s tenant', async () => {
    expect(await onHost(`${slug}.localhost`, own)).toBe(200);
    expect(await onHost(`${slug.toUpperCase()}.LOCALHOST`, own)).toBe(200);
    expect(await onHost('globex.localhost', own)).toBe(403);
    expect(await onHost('nobody.localhost', own)).toBe(403);
  });

  test('another tenant’s ids name nothing: not to read, not to change, not to refer to', async () => {
    const { body } = await call('POST', '/employees', { token: globex, body: newEmployee() });
    const path = `/employees/${body.employeeId}`;
    expect((await call('GET', path, { token: own })).status).toBe(404);
    expect((await call('PATCH', path, { token: own, body: { jobTitle: 'x' } })).status).toBe(404);
    expect((await call('DELETE', path, { token: own })).status).toBe(404);
    const refers = newEmployee({ managerId: body.employeeId });
    expect((await call('POST', '/employees', { token: own, body: refers })).status).toBe(400);
    expect((await call('GET', path, { token: globex })).body).toEqual(body);
  });

  test('one tenant’s cursor in another tenant’s list shows that other tenant’s rows only', async () => {
    const { body } = await call('GET', '/employees?limit=1', { token: globex });
    const foreign = await call('GET', `/employees?limit=200&cursor=${body.nextCursor}`, { token: own });
    expect(foreign.status).toBe(200);
    for (const item of foreign.body.items) expect(item.email).not.toMatch(/@globex\.test$/);
  });
});

describe('SQL in every string that a client may send', () => {
  const INJECTIONS = [
    "x'; DROP TABLE employees; --",
    "' OR '1'='1",
    "'||set_config('app.current_tenant','00000000-0000-4000-8000-000000000000',true)||'",
    '$1; SELECT tenancy.enter(gen_random_uuid(),1,$2)',
    '"; RESET ALL; --',
    "\\'; SELECT pg_sleep(10); --",
  ];

  test.each(INJECTIONS)('%s is stored and found as text, or refused', async (text) => {
    const token = own;
    const before = (await call('GET', '/employees?limit=200', { token })).body.items.length;
    const fields = {
      firstName: text,
      lastName: text,
      jobTitle: text,
      department: text,
      profileData: { [text]: text },
    };
    const created = await call('POST', '/employees', {
      token,
      body: newEmployee(fields),
      headers: { 'idempotency-key': `${unique('k')}${text}`, 'user-agent': text },
    });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject(fields);
    const query = encodeURIComponent(text);
    const found = await call('GET', `/employees?department=${query}&q=${query}`, { token });
    expect(found.body.items).toEqual([created.body]);
    for (const parameter of ['status', 'managerId', 'cursor', 'limit']) {
      expect((await call('GET', `/employees?${parameter}=${query}`, { token })).status).toBe(400);
    }
    expect((await call('GET', '/employees', { token, headers: { 'x-tenant-id': text } })).status).toBe(403);
    expect((await call('GET', `/employees/${query}`, { token })).status).toBe(404);
    const path = `/employees/${created.body.employeeId}`;
    const patched = await call('PATCH', path, {
      token,
      body: { jobTitle: text },
      headers: { 'if-match': text },
    });
    expect(patched.status).toBe(412);
    for (const [route, body] of [
      ['/teams', { teamName: text, description: text }],
      [
        '/skills',
        { skillName: text, skillCategory: text, description: text, proficiencyLevels: [text.slice(0, 50)] },
      ],
    ] as const) {
      const made = await call('POST', route, { token, body });
      expect(made.status).toBe(201);
      expect(made.body).toMatchObject(body);
      expect((await call('DELETE', String(made.headers.get('location')), { token })).status).toBe(204);
    }
    expect((await call('DELETE', path, { token })).status).toBe(204);
    expect((await call('GET', '/employees?limit=200', { token })).body.items).toHaveLength(before);
  });
});
