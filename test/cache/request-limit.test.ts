import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CacheServer } from '../../functions/aws/cache-server.ts';
import { takeToken } from '../../functions/http/request-limit.ts';
import { CachePool } from '../../functions/tenant-data/cache-pool.ts';
import { TenantRequests } from '../request/tenant-requests.ts';
import { TestValkey, valkeyInstalled } from './test-valkey.ts';

let valkey: TestValkey;
let api: TenantRequests;
let limited: TenantRequests;
beforeAll(async () => {
  if (!valkeyInstalled) return;
  [valkey, api] = await Promise.all([TestValkey.start(), TenantRequests.start()]);
  valkey.trust();
  limited = api.restarted({ caches: valkey.pool() });
});
afterAll(async () => {
  await valkey?.stop();
  await api?.world.end();
});

/** Tokens of a bucket that cannot refill within the test. */
const SLOW = { rate: 0.000_1, burst: 5 };

describe.skipIf(!valkeyInstalled)('the bucket of a tenant', () => {
  test('gives its burst at once, to all containers together, and then nothing', async () => {
    const tenantId = randomUUID();
    const servers = [valkey.server(), valkey.server()];
    const taken = await Promise.all(
      Array.from({ length: 12 }, (_, n) => takeToken(servers[n % 2] as CacheServer, tenantId, SLOW)),
    );
    expect(taken.filter((bucket) => bucket?.isAllowed)).toHaveLength(5);
    expect(Math.min(...taken.map((bucket) => bucket?.remaining ?? -1))).toBe(0);
    const refused = taken.find((bucket) => !bucket?.isAllowed);
    expect(refused?.nextInMs).toBeGreaterThan(1_000_000);
    expect(await takeToken(servers[0] as CacheServer, randomUUID(), SLOW)).toMatchObject({ isAllowed: true });
  });

  test('refills at its rate, by the server’s clock', async () => {
    const tenantId = randomUUID();
    const server = valkey.server();
    const limit = { rate: 100, burst: 2 };
    await takeToken(server, tenantId, limit);
    // As if the last request had been ten seconds earlier.
    await valkey.inspector.hset(`tenant:${tenantId}:requests`, {
      tokens: '0',
      at: `${(Date.now() - 10_000) * 1000}`,
    });
    const bucket = await takeToken(server, tenantId, limit);
    expect(bucket).toMatchObject({ isAllowed: true, remaining: 1 });
  });

  test('survives a clock that went back: nothing is taken away, and requests go on', async () => {
    const tenantId = randomUUID();
    const server = valkey.server();
    const limit = { rate: 100, burst: 10 };
    // Another server's clock was an hour ahead.
    await valkey.inspector.hset(`tenant:${tenantId}:requests`, {
      tokens: '3',
      at: `${(Date.now() + 3_600_000) * 1000}`,
    });
    expect(await takeToken(server, tenantId, limit)).toMatchObject({ isAllowed: true });
    await expect
      .poll(async () => (await takeToken(server, tenantId, limit))?.remaining, { interval: 100 })
      .toBeGreaterThan(5);
  });

  test('is smaller at once when its limit is lowered', async () => {
    const tenantId = randomUUID();
    const server = valkey.server();
    await takeToken(server, tenantId, { rate: 0.000_1, burst: 1000 });
    expect(await takeToken(server, tenantId, SLOW)).toMatchObject({ remaining: 4 });
  });
});

describe.skipIf(!valkeyInstalled)('requests of a tenant', () => {
  const list = (from: TenantRequests, headers: Record<string, string> = {}) =>
    from.call('shared', 'GET /teams', { headers });

  test('have the headers of their limit, refusals too', async () => {
    const { headers } = await list(limited);
    // The limit of Starter.
    expect(headers).toMatchObject({
      'ratelimit-limit': '200',
      'ratelimit-remaining': '199',
      'ratelimit-reset': '1',
    });
    const missing = await limited.call('shared', 'GET /teams/{teamId}', {
      pathParameters: { teamId: randomUUID() },
    });
    expect([missing.status, missing.headers['ratelimit-limit']]).toEqual([404, '200']);
  });

  test('beyond the tenant’s own burst are 429 with Retry-After, and work again later', async () => {
    const { tenantId } = api.tenant('schema');
    await api.world.registry.query(
      'UPDATE tenants SET request_rate = 1, request_burst = 3 WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    const own = api.restarted({ caches: valkey.pool() });
    const answers = await Promise.all(Array.from({ length: 8 }, () => own.call('schema', 'GET /teams')));
    const refused = answers.filter(({ status }) => status === 429);
    // A token may have been added meanwhile.
    expect(refused.length).toBeGreaterThanOrEqual(4);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(3);
    expect(refused[0]).toMatchObject({
      headers: { 'content-type': 'application/problem+json', 'retry-after': '1', 'ratelimit-remaining': '0' },
      body: { type: 'urn:strata:problem:too-many-requests', status: 429 },
    });
    await expect
      .poll(async () => (await own.call('schema', 'GET /teams')).status, { interval: 250 })
      .toBe(200);
  });

  test('are not limited while the server does not answer', async () => {
    const nowhere = new CacheServer({ address: () => Promise.reject(new Error('no secret')) });
    const pool = new CachePool(new Map([['us-1', nowhere]]));
    const without = api.restarted({ caches: async () => pool });
    const { status, headers } = await list(without);
    expect([status, headers['ratelimit-limit']]).toEqual([200, undefined]);
  });

  test('of an operator are not counted', async () => {
    const { tenantId } = api.tenant('dedicated');
    const { status, headers } = await limited.call('dedicated', 'GET /teams', {
      claims: { sub: 'o', email: 'o@strata.test', scope: 'strata/operator' },
      headers: { 'x-tenant-id': tenantId },
    });
    expect([status, headers['ratelimit-limit']]).toEqual([200, undefined]);
  });
});
