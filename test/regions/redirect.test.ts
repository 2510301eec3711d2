import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { employeeRoutes } from '../../functions/api/people/employee-routes.ts';
import { locationInRegion } from '../../functions/http/other-region.ts';
import type { TenantContext } from '../../functions/http/resolve-tenant.ts';
import { tenantApi } from '../../functions/http/tenant-api.ts';
import type { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import { type ApiEventParts, apiEvent } from './api-event.ts';

let world: World;
let tenant: WorldTenant;
let directory: TenantDirectory;
let patienceMs: number;
let handler: ReturnType<typeof tenantApi>;
const peopleRoutes = { 'GET /employees': employeeRoutes.list, 'POST /employees': employeeRoutes.create };
const API = 'https://abc.execute-api.eu-west-1.amazonaws.com';

beforeAll(async () => {
  world = await createWorld(1);
  tenant = world.tenants.find(({ isolationModel }) => isolationModel === 'schema') as WorldTenant;
  await world.registry.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'a@b.test', 'admin')`,
    { tenantId: tenant.tenantId },
  );
  await apiOf('eu', API);
});
// What one container remembers must not answer for the next test.
beforeEach(() => {
  const { router, ...container } = world.container({ freshForMs: 60_000, regionKey: 'us' });
  directory = container.directory;
  handler = tenantApi(peopleRoutes, () => ({
    directory,
    router,
    domains: ['app.test', 'localhost'],
    patienceMs,
    regionKey: 'us',
  }));
});
afterAll(() => world?.end());

const apiOf = (key: string, apiUrl: string) =>
  world.registry.query(
    `INSERT INTO regions (region_key, aws_region, api_url, secrets_key_arn, dedicated_template_url,
                          dedicated_role_arn, dedicated_parameters)
     VALUES (:key, 'eu-west-1', :apiUrl, 'none', 'none', 'none', '{}')`,
    { key, apiUrl },
  );
const becomes = (status: string, region = 'us') =>
  world.registry.query(
    'UPDATE tenants SET status = :status, home_region = :region WHERE tenant_id = :tenantId::uuid',
    { status, region, tenantId: tenant.tenantId },
  );

async function request(parts: Partial<ApiEventParts> = {}) {
  const claims = { sub: 'u', email: 'a@b.test', tenant_id: tenant.tenantId };
  const event = apiEvent({ routeKey: 'GET /employees', claims, ...parts });
  const answer = await handler(event, {} as TenantContext & Context);
  return {
    status: answer.statusCode,
    headers: answer.headers ?? {},
    body: JSON.parse(answer.body ?? 'null'),
  };
}
const operator = { sub: 'o', scope: 'strata/operator' };

describe('a tenant of another region', () => {
  test('is redirected with path and query as they came, and is told nothing but the API', async () => {
    await becomes('elsewhere', 'eu');
    const rawQueryString = 'q=a%20b&limit=5&q=%E2%82%AC';
    const answer = await request({ rawPath: '/employees', rawQueryString, query: { limit: '5' } });
    expect(answer.status).toBe(308);
    expect(answer.headers).toMatchObject({
      location: `${API}/employees?${rawQueryString}`,
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
      'x-request-id': 'request',
    });
    expect(answer.body).toEqual({
      type: 'urn:strata:problem:tenant-in-another-region',
      title: 'Permanent Redirect',
      status: 308,
      detail: 'The tenant is served by another region. Send the request to the Location.',
    });
  });

  test('is redirected for who is no member here, and for an operator who names it', async () => {
    await becomes('elsewhere', 'eu');
    const stranger = { sub: 'u', email: 'nobody@b.test', tenant_id: tenant.tenantId };
    expect((await request({ claims: stranger })).status).toBe(308);
    const headers = { 'x-tenant-id': tenant.tenantId };
    expect((await request({ claims: operator, headers })).headers.location).toBe(`${API}/employees`);
  });

  test('is not told of to whom names another tenant', async () => {
    await becomes('elsewhere', 'eu');
    expect((await request({ headers: { 'x-tenant-id': 'other' } })).status).toBe(403);
    const unknown = { sub: 'u', email: 'a@b.test', tenant_id: randomUUID() };
    expect((await request({ claims: unknown })).status).toBe(403);
  });

  test('that is none, but a slug reserved for this region, is unknown', async () => {
    await becomes('elsewhere', 'us');
    const headers = { 'x-tenant-id': tenant.tenantId };
    expect((await request({ claims: operator, headers })).status).toBe(404);
  });

  test('whose API is not known is a 503', async () => {
    await becomes('elsewhere', 'apac');
    const answer = await request();
    expect(answer.status).toBe(503);
    expect(answer.headers).toMatchObject({ 'retry-after': '5' });
  });
});

describe('a tenant that is arriving', () => {
  test('is waited for, and its users come with it', async () => {
    patienceMs = 10_000;
    await becomes('arriving');
    expect((await directory.byId(tenant.tenantId))?.status).toBe('arriving');
    const email = 'late@b.test';
    const answer = request({ claims: { sub: 'u', email, tenant_id: tenant.tenantId } });
    await world.registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')`,
      { tenantId: tenant.tenantId, email },
    );
    await becomes('active');
    expect((await answer).status).toBe(200);
  });

  test('is a 503 when it does not come in time', async () => {
    patienceMs = 100;
    await becomes('arriving');
    expect((await directory.byId(tenant.tenantId))?.status).toBe('arriving');
    const answer = await request();
    expect(answer.status).toBe(503);
    expect(answer.headers).toHaveProperty('retry-after');
  });

  test('that turns out to stay elsewhere is redirected', async () => {
    patienceMs = 10_000;
    await becomes('arriving');
    expect((await directory.byId(tenant.tenantId))?.status).toBe('arriving');
    const answer = request({ claims: operator, headers: { 'x-tenant-id': tenant.tenantId } });
    await becomes('elsewhere', 'eu');
    expect((await answer).status).toBe(308);
  });
});

test('a write that meets the flip into another region is redirected before it has run', async () => {
  await becomes('active');
  const body = { email: 'new@b.test', firstName: 'A', lastName: 'B' };
  const post = () => request({ routeKey: 'POST /employees', body });
  expect((await post()).status).toBe(201);
  const owner = await world.cell.connect('owner');
  const there = { ...(await world.addHome(tenant, 2)).forward, region: 'eu' };
  await owner.query(
    `UPDATE tenancy.placement SET state = 'moved', epoch = 2, previous_role_name = role_name, forward = $2
     WHERE tenant_id = $1`,
    [tenant.tenantId, JSON.stringify(there)],
  );
  // The registry follows a moment later.
  const answer = await post();
  expect(answer.status).toBe(308);
  expect(answer.headers.location).toBe(`${API}/employees`);
  const superuser = await world.cell.connect('superuser');
  const { rows } = await superuser.query(`SELECT count(*)::int AS n FROM ${tenant.schemaName}.employees`);
  expect(rows).toEqual([{ n: 1 }]);
});

describe('the location of a request in another region', () => {
  const at = (apiUrl: string, rawPath: string, bySubdomain = false, rawQueryString = '') =>
    locationInRegion(
      apiUrl,
      { rawPath, rawQueryString },
      { slug: 'acme', bySubdomain, domains: ['localhost'] },
    );

  test.each([
    ['https://*.eu.app.test', '/employees', false, 'https://acme.eu.app.test/employees'],
    ['https://*.eu.app.test', '/employees', true, 'https://acme.eu.app.test/employees'],
    ['http://localhost:4001', '/employees', true, 'http://acme.localhost:4001/employees'],
    ['http://localhost:4001', '/employees', false, 'http://localhost:4001/employees'],
    ['https://x.amazonaws.com/', '/employees', true, 'https://x.amazonaws.com/employees'],
  ])('%s %s by subdomain %s', (apiUrl, path, bySubdomain, location) => {
    expect(at(apiUrl, path, bySubdomain)).toBe(location);
  });

  test.each([
    '//evil.test/x',
    '@evil.test',
    '/\r\nset-cookie: a=b',
    '/%2F%2Fevil',
    '/a?b#c',
    '/ü\ud800',
    '\\\\evil.test',
  ])('stays at the API whatever the path is: %j', (path) => {
    const location = at('https://x.test', path, false, 'a=b\r\nc');
    expect(location).toMatch(/^[\x21-\x7e]+$/);
    const url = new URL(location);
    expect([url.origin, url.hash, url.search]).toEqual(['https://x.test', '', '?a=b%0D%0Ac']);
  });
});
