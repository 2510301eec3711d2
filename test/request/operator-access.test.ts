import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import type { Model } from '../isolation/tenant-world.ts';
import { ADMIN, MODELS, newEmployee, type RequestParts, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start({ patienceMs: 200 });
});
afterAll(() => api?.world.end());

const MISSING = { employeeId: '00000000-0000-4000-8000-000000000000' };

describe.each(MODELS)('an operator’s access to a tenant in %s', (model) => {
  const asOperator = (route: string, parts: RequestParts = {}) =>
    api.call(model, route, {
      ...parts,
      claims: { sub: 'o', scope: 'strata/operator', email: 'Operator@strata.test' },
      headers: { 'x-tenant-id': api.tenant(model).tenantId, ...parts.headers },
    });

  test.each<[string, number, RequestParts]>([
    ['GET /employees', 200, {}],
    ['GET /employees', 400, { query: { limit: '0' } }],
    ['GET /employees/{employeeId}', 404, { pathParameters: MISSING }],
    ['POST /employees', 201, { body: newEmployee() }],
    ['POST /employees', 415, { body: {}, headers: { 'content-type': 'text/plain' } }],
    ['POST /employees', 409, { body: { ...newEmployee(), email: 'taken@tenant.test' } }],
    ['DELETE /employees/{employeeId}', 404, { pathParameters: MISSING }],
  ])('%s is recorded with its status, %i', async (route, status, parts) => {
    if (status === 409) await asOperator('POST /employees', parts);
    const before = (await traces(model)).length;
    expect((await asOperator(route, parts)).status).toBe(status);
    const left = (await traces(model)).slice(before);
    expect(left).toEqual([
      { actor: 'operator:operator@strata.test', request_data: { route }, response_status: status },
    ]);
  });

  test('that a version answers is recorded as such', async () => {
    const pathParameters = { employeeId: await api.addEmployee(model) };
    const headers = { 'if-none-match': '*' };
    expect((await asOperator('GET /employees/{employeeId}', { pathParameters, headers })).status).toBe(304);
    expect((await traces(model)).at(-1)?.response_status).toBe(304);
  });

  test('leaves a trace, a user’s request none', async () => {
    const before = (await traces(model)).length;
    expect((await api.call(model, 'GET /employees')).status).toBe(200);
    expect((await traces(model)).length).toBe(before);
    expect(ADMIN).not.toContain('operator');
  });

  test('that can leave no trace shows nothing', async () => {
    const { tenantId, database } = api.tenant(model);
    const owner = await database.connect('owner');
    const fence = (state: string, token: string | null) =>
      owner.query(
        `UPDATE tenancy.placement SET state = $2, fence_token = $3, fence_expires_at = now() + interval '5 minutes'
         WHERE tenant_id = $1`,
        [tenantId, state, token],
      );
    await fence('fenced', MISSING.employeeId);
    try {
      const answer = await asOperator('GET /employees');
      expect([answer.status, answer.body.items]).toEqual([503, undefined]);
    } finally {
      await fence('active', null);
      await owner.end();
    }
  });
});

async function traces(model: Model) {
  const tenant = api.tenant(model);
  const client = await tenant.database.connect(tenant.login);
  const { rows } = await asTenant(client, tenant, 'read', () =>
    client.query<{ actor: string; request_data: object; response_status: number }>(
      `SELECT actor, request_data, response_status FROM audit_log WHERE action = 'operator.access'
       ORDER BY created_at`,
    ),
  );
  await client.end();
  return rows;
}
