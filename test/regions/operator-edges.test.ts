import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answeringMoveRefusals } from '../../functions/api/tenants/start-move.ts';
import type { ApiEvent } from '../../functions/http/api-event.ts';
import { MoveForbidden } from '../../functions/moves/errors.ts';
import { lockTenantRow } from '../../functions/moves/other-region/tenant-row.ts';
import { sampled } from '../full-run.ts';
import { type ControlPlane, startControlPlane } from '../onboarding/control-plane.ts';
import { type ApiEventParts, apiEvent } from './api-event.ts';

const KB = 1024;
type Handler = (
  event: ApiEvent,
  context: Context,
) => Promise<{ statusCode: number; headers: Record<string, string>; body?: string }>;

let plane: ControlPlane;
let handler: Handler;
beforeAll(async () => {
  plane = await startControlPlane();
  await plane.addCell();
  Object.assign(process.env, {
    REGISTRY_CLUSTER_ARN: plane.clusterArn,
    REGISTRY_SECRET_ARN: plane.secretArn,
    REGISTRY_DATABASE: 'registry',
    REGION_KEY: 'us',
  });
  delete process.env.REGISTRIES;
  handler = (await import('../../functions/api/tenants/handler.ts')).handler as unknown as Handler;
});
afterAll(() => plane?.stop());

async function call(routeKey: string, parts: Omit<Partial<ApiEventParts>, 'routeKey'> = {}) {
  const claims = { sub: 'operator', scope: 'strata/operator', email: 'operator@strata.test' };
  const answer = await handler(apiEvent({ routeKey, claims, ...parts }), {} as Context);
  return {
    status: answer.statusCode,
    headers: answer.headers,
    text: answer.body,
    body: JSON.parse(answer.body ?? 'null'),
  };
}

/** @param features written past the API, as an older version may have. */
async function addTenant(features?: object): Promise<string> {
  const id = randomUUID();
  await plane.registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          data_residency, home_region, features)
     VALUES (:id::uuid, :id, :slug, 'schema', 'business', 'active', 'us', 'us', :features::jsonb)`,
    { id, slug: `t-${id.slice(0, 13)}`, features: features ?? null },
  );
  return id;
}

const patch = (tenantId: string, body: object) =>
  call('PATCH /tenants/{tenantId}', { pathParameters: { tenantId }, body });
const read = (tenantId: string, headers: Record<string, string> = {}) =>
  call('GET /tenants/{tenantId}', { pathParameters: { tenantId }, headers });

describe('the features of a tenant', () => {
  test('are at most 16 KB after a merge: beyond that 413, and nothing is changed', async () => {
    const id = await addTenant();
    const fits = { a: 'x'.repeat(16 * KB - 8) };
    expect((await patch(id, { features: fits })).body.features).toEqual(fits);
    const refused = await patch(id, { features: { b: 1 }, name: 'Other' });
    expect([refused.status, refused.body.type, refused.body.errors]).toEqual([
      413,
      'urn:strata:problem:document-too-large',
      [{ pointer: '/features', detail: 'must be at most 16 KB after the change' }],
    ]);
    expect((await read(id)).body).toMatchObject({ features: fits, name: id });
    expect((await patch(id, { features: { a: null, b: '"'.repeat(8_000) } })).status).toBe(200);
  });

  test('that an older version let grow are read, moved, and mended by a patch', async () => {
    // Beyond a row of the Data API, and with characters of four bytes on the borders of the parts.
    const large = { text: '😀'.repeat(100_000), other: 'x' };
    const id = await addTenant(large);
    expect((await read(id)).body.features).toEqual(large);
    expect((await patch(id, { name: `Renamed ${id}` })).status).toBe(200);
    const handedOver = await plane.registry.transaction((transaction) => lockTenantRow(transaction, id));
    expect(handedOver).toMatchObject({ tenant_name: `Renamed ${id}`, features: large });
    expect((await patch(id, { features: { other: 'y' } })).status).toBe(413);
    expect((await patch(id, { features: { text: null } })).body.features).toEqual({ other: 'x' });
  });
});

describe('an operator’s list', () => {
  async function listAll(query: Record<string, string>) {
    const items: { tenantId: string; features: object }[] = [];
    let pages = 0;
    let cursor: string | undefined;
    do {
      const answer = await call('GET /tenants', { query: { ...query, ...(cursor ? { cursor } : {}) } });
      expect(answer.status).toBe(200);
      if (answer.body.items.length > 1) expect(answer.text?.length).toBeLessThan(600 * KB);
      items.push(...answer.body.items);
      pages += 1;
      cursor = answer.body.nextCursor ?? undefined;
    } while (cursor);
    return { items, pages };
  }

  test('ends at 512 KB before its limit, and no row breaks it', async () => {
    const expected = new Map<string, object>();
    for (const features of [{ a: 1 }, { huge: 'x'.repeat(600 * KB) }, { large: 'y'.repeat(70 * KB) }]) {
      expected.set(await addTenant(features), features);
    }
    for (let n = 0; n < 40; n++) {
      const features = { n, text: 'z'.repeat(n % 2 === 0 ? 62 * KB : 16 * KB) };
      expected.set(await addTenant(features), features);
    }
    for (const limit of sampled(['50'], ['200', '50', '3'])) {
      const { items, pages } = await listAll({ limit });
      const listed = items.filter(({ tenantId }) => expected.has(tenantId));
      expect(listed.map(({ tenantId }) => tenantId)).toEqual([...expected.keys()]);
      expect(listed.map(({ features }) => features)).toEqual([...expected.values()]);
      expect(pages).toBeGreaterThan(3);
    }
  });

  const IMPOSSIBLE = [
    ['2023-02-30T00:00:00Z', randomUUID()],
    ['2023-02-29T00:00:00.000001Z', randomUUID()],
    ['2023-13-01T00:00:00Z', randomUUID()],
    ['2023-01-01T24:00:00Z', randomUUID()],
    ['2023-01-01T23:59:60Z', randomUUID()],
    ['0000-01-01T00:00:00Z', randomUUID()],
    ['2023-01-01T00:00:00Z', 'not an id'],
    ['2023-01-01T00:00:00Z'],
    { time: 1 },
  ];
  const ROUTES = ['', '/users', '/moves', '/usage', '/decisions', '/offers'];
  test.each(IMPOSSIBLE)('does not take the cursor %j', async (...parts) => {
    const id = await addTenant();
    const position = parts.length > 1 || typeof parts[0] === 'string' ? parts : parts[0];
    const cursor = Buffer.from(JSON.stringify(position)).toString('base64url');
    for (const route of ROUTES) {
      const answer =
        route === ''
          ? await call('GET /tenants', { query: { cursor } })
          : await call(`GET /tenants/{tenantId}${route}`, {
              pathParameters: { tenantId: id },
              query: { cursor },
            });
      expect([route, answer.status, answer.body.errors?.[0]?.parameter]).toEqual([route, 400, 'cursor']);
    }
  });
});

describe('a version that the operator has', () => {
  const conditional = (routeKey: string, path: Record<string, string>, tag: string) =>
    call(routeKey, { pathParameters: path, headers: { 'if-none-match': tag } });

  test('of a tenant, a user or a move is a 304', async () => {
    const tenantId = await addTenant();
    const user = await call('POST /tenants/{tenantId}/users', {
      pathParameters: { tenantId },
      body: { email: 'known@tenant.test', role: 'viewer' },
    });
    const moveId = randomUUID();
    await plane.registry.query(
      `INSERT INTO tenant_moves (move_id, tenant_id, status, phase, input, plan, started_by, finished_at)
       VALUES (:moveId::uuid, :tenantId::uuid, 'failed', 'done', '{}', '[]', 'test', now())`,
      { moveId, tenantId },
    );
    for (const [route, path] of [
      ['GET /tenants/{tenantId}', { tenantId }],
      ['GET /tenants/{tenantId}/users/{userId}', { tenantId, userId: user.body.userId }],
      ['GET /tenants/{tenantId}/moves/{moveId}', { tenantId, moveId }],
    ] as const) {
      const first = await conditional(route, path, '"other"');
      expect([route, first.status]).toEqual([route, 200]);
      const { etag } = first.headers;
      const second = await conditional(route, path, `W/${etag}`);
      expect([second.status, second.headers.etag, second.text]).toEqual([304, etag, undefined]);
    }
  });
});

describe('a change of a tenant', () => {
  test('is brought into the form that POST stores', async () => {
    const id = await addTenant();
    const changed = await patch(id, {
      name: `  Name of ${id}\t`,
      billingEmail: 'Bills&Co@Tenant.TEST',
      complianceRequirements: ['SOC2', 'gdpr', 'soc2'],
    });
    expect([changed.status, changed.body]).toMatchObject([
      200,
      {
        name: `Name of ${id}`,
        billingEmail: 'bills&co@tenant.test',
        complianceRequirements: ['soc2', 'gdpr'],
      },
    ]);
  });

  test.each([
    [{ name: ' \u00a0\t ' }, '/name'],
    [{ name: 'x'.repeat(256) }, '/name'],
    [{ name: 7 }, '/name'],
    [{ billingEmail: 'nobody' }, '/billingEmail'],
    [{ complianceRequirements: 'soc2' }, '/complianceRequirements'],
    [{ complianceRequirements: ['soc2', ''] }, '/complianceRequirements/1'],
    [{ monthlyRevenue: 499.995 }, '/monthlyRevenue'],
    [{ monthlyRevenue: 5e-324 }, '/monthlyRevenue'],
    [{ monthlyRevenue: 0.1 + 0.2 }, '/monthlyRevenue'],
    [{ monthlyRevenue: -0.01 }, '/monthlyRevenue'],
    [{ maxUsers: 1.5 }, '/maxUsers'],
    [{ 'a/b~c.d': 1 }, '/a~1b~0c.d'],
  ])('is refused where nothing could be stored as it is: %j at %s', async (body, pointer) => {
    const id = await addTenant();
    const before = await read(id);
    const refused = await patch(id, body);
    expect([refused.status, refused.body.errors?.[0]?.pointer]).toEqual([400, pointer]);
    expect(refused.body.errors).toHaveLength(1);
    expect((await read(id)).body).toEqual(before.body);
  });

  test.each([499.99, 0, 9_999_999_998.99, 1e2, null])('takes a revenue of %s', async (monthlyRevenue) => {
    const id = await addTenant();
    expect((await patch(id, { monthlyRevenue })).body.monthlyRevenue).toBe(monthlyRevenue);
  });
});

test.each([
  ['POST /tenants', { 'a/b~c.d': 1 }],
  ['POST /tenants/{tenantId}/moves', { targetTier: 'business', 'a/b~c.d': 1 }],
])('%s points at an unknown field by its JSON pointer', async (route, body) => {
  const tenantId = await addTenant();
  const refused = await call(route, { pathParameters: { tenantId }, body });
  expect(refused.status).toBe(400);
  expect(refused.body.errors).toContainEqual({ pointer: '/a~1b~0c.d', detail: 'is not known' });
});

test('an operator’s POST is replayed byte by byte', async () => {
  const tenantId = await addTenant();
  const parts = {
    pathParameters: { tenantId },
    body: { email: 'again@tenant.test', role: 'viewer' },
    headers: { 'idempotency-key': 'again' },
  };
  const first = await call('POST /tenants/{tenantId}/users', parts);
  const again = await call('POST /tenants/{tenantId}/users', parts);
  expect([again.status, again.headers['idempotency-replayed'], again.text]).toEqual([
    201,
    'true',
    first.text,
  ]);
  expect(again.headers.etag).toBe(first.headers.etag);
});

describe('an operator is told in plain English', () => {
  test('which tenant is not there', async () => {
    for (const reference of ['nobody', randomUUID()]) {
      expect(await read(reference)).toMatchObject({
        status: 404,
        body: { detail: `There is no tenant "${reference}".` },
      });
    }
  });

  test('which limit is reached', async () => {
    const tenantId = await addTenant();
    await patch(tenantId, { maxUsers: 1 });
    const add = (email: string) =>
      call('POST /tenants/{tenantId}/users', {
        pathParameters: { tenantId },
        body: { email, role: 'viewer' },
      });
    expect((await add('one@tenant.test')).status).toBe(201);
    expect(await add('two@tenant.test')).toMatchObject({
      status: 409,
      body: { detail: 'The limit of 1 active users is reached.' },
    });
  });

  test('why a move is not allowed', () =>
    expect(
      answeringMoveRefusals(() =>
        Promise.reject(new MoveForbidden([{ rule: 'users', detail: 'The tenant has 9 users.' }])),
      ),
    ).rejects.toMatchObject({
      status: 409,
      detail: 'The move is not allowed: The tenant has 9 users.',
      errors: [{ rule: 'users', detail: 'The tenant has 9 users.' }],
    }));
});
