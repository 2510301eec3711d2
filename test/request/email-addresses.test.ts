import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { ADMIN, MODELS, newEmployee, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

describe.each(MODELS)('an address of an employee in %s', (model) => {
  const post = (email: string, headers: Record<string, string> = {}) =>
    api.call(model, 'POST /employees', { body: { ...newEmployee(), email }, headers });
  const patch = (employeeId: string, email: string, headers: Record<string, string> = {}) =>
    api.call(model, 'PATCH /employees/{employeeId}', {
      pathParameters: { employeeId },
      body: { email },
      headers,
    });
  const find = async (email: string) =>
    (await api.call(model, 'GET /employees', { query: { email } })).body.items.map(
      (item: { employeeId: string }) => item.employeeId,
    );

  /** As an older version stored it. */
  async function addOlder(email: string): Promise<string> {
    const id = await api.addEmployee(model);
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query('UPDATE employees SET email = $1 WHERE employee_id = $2', [email, id]),
    );
    await client.end();
    return id;
  }

  test.each([
    'x@example.xn--p1ai',
    'r&d@example.com',
    "o'neil@example.com",
    'a@localhost',
    'UPPER@Example.COM',
  ])('%s is taken, and stored in lower case', async (email) => {
    const created = await post(email);
    expect([created.status, created.body.email]).toEqual([201, email.toLowerCase()]);
    expect(await find(email.toUpperCase())).toEqual([created.body.employeeId]);
  });

  test.each([
    'nobody',
    '@example.com',
    'a@',
    'a b@example.com',
    'a@example.com ',
    'a@-example.com',
    'a@example..com',
    'ä@example.com',
    'boo\u212a@example.com',
    `${'x'.repeat(250)}@a.test`,
  ])('%j is refused', async (email) => {
    const refused = await post(email);
    expect([refused.status, refused.body.errors]).toEqual([
      400,
      [{ pointer: '/email', detail: 'must be an e-mail address' }],
    ]);
  });

  test('is one employee’s in whatever case, also beside one that an older version stored', async () => {
    const zoe = await post('zoe@tenant.test');
    expect((await post('ZOE@tenant.test')).status).toBe(409);
    const older = await addOlder('Old@Tenant.test');
    const again = await post('old@tenant.test', { 'idempotency-key': 'once' });
    expect([again.status, again.body.errors]).toEqual([
      409,
      [{ pointer: '/email', detail: 'Another employee has this email.' }],
    ]);
    expect(await find('OLD@tenant.test')).toEqual([older]);
    const other = await api.addEmployee(model);
    for (const email of ['oLd@tenant.test', 'ZOE@TENANT.TEST']) {
      expect((await patch(other, email)).status).toBe(409);
      expect((await patch(other, email, { 'if-match': '*' })).status).toBe(409);
    }
    // Its own address is free to itself, and so becomes one in lower case.
    expect((await patch(older, 'OLD@tenant.test')).body.email).toBe('old@tenant.test');
    expect((await patch(zoe.body.employeeId, 'Zoe@tenant.test')).body.email).toBe('zoe@tenant.test');
    expect((await patch('00000000-0000-4000-8000-000000000000', 'zoe@tenant.test')).status).toBe(404);
  });

  test('that older versions stored twice is found twice, and both can be changed', async () => {
    const ids = [await addOlder('Twice@tenant.test'), await addOlder('TWICE@tenant.test')];
    expect(await find('twice@tenant.test')).toEqual(ids);
    for (const employeeId of ids) {
      const answer = await api.call(model, 'PATCH /employees/{employeeId}', {
        pathParameters: { employeeId },
        body: { jobTitle: 'Chemist' },
      });
      expect(answer.status).toBe(200);
    }
    expect((await patch(ids[0] as string, 'other@tenant.test')).status).toBe(200);
    expect((await patch(ids[1] as string, 'twice@tenant.test')).status).toBe(200);
  });

  test('is one employee’s when two ask for it at the same moment in two cases', async () => {
    const answers = await Promise.all(
      ['race@tenant.test', 'RACE@tenant.test', 'Race@tenant.test'].map((e) => post(e)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
  });

  test('in a token is taken as it is: text around it makes it nobody’s', async () => {
    const { tenantId } = api.tenant(model);
    const as = async (email: string) =>
      (await api.call(model, 'GET /employees', { claims: { sub: 'u', email, tenant_id: tenantId } })).status;
    expect(await as(ADMIN.toUpperCase())).toBe(200);
    for (const email of [
      `${ADMIN} x`,
      ` ${ADMIN}`,
      `${ADMIN}\n`,
      `x ${ADMIN}`,
      `${ADMIN}\0`,
      ADMIN.replace('t.', 't\u3002'),
    ]) {
      expect([email, await as(email)]).toEqual([email, 403]);
    }
    await api.world.registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'kay@tenant.test', 'admin')`,
      { tenantId },
    );
    expect(await as('KAY@tenant.test')).toBe(200);
    // The sign of the kelvin is another character, whose lower case is a k.
    expect(await as('\u212aay@tenant.test')).toBe(403);
  });

  test('asked for with text behind it is no member of the directory', async () => {
    const { tenantId } = api.tenant(model);
    const { directory } = api.world.container();
    expect(await directory.member(tenantId, ADMIN)).toBeDefined();
    expect(await directory.member(tenantId, `${ADMIN} x`)).toBeUndefined();
  });
});
