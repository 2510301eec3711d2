import { beforeAll, describe, expect, test } from 'vitest';
import { valkeyProgram } from '../../infra/local/index.ts';
import { call, newEmployee, onboardOwnTenant, operatorToken, userToken } from './running-platform.ts';

const hasCache = valkeyProgram() !== undefined && process.env.STRATA_CACHE !== 'off';
if (!hasCache) console.warn('left out: limits of requests, which need valkey-server or redis-server');

describe.skipIf(!hasCache)('on a platform with a cache', () => {
  let slug: string;
  let admin: string;
  beforeAll(async () => {
    slug = await onboardOwnTenant();
    admin = await userToken(slug);
  });

  test('a cached employee is current after each change, whichever function instance answers', async () => {
    const created = await call('POST', '/employees', { token: admin, body: newEmployee() });
    const path = `/employees/${created.body.employeeId}`;
    for (let n = 0; n < 20; n++) {
      const jobTitle = `Engineer ${n}`;
      await call('PATCH', path, { token: admin, body: { jobTitle } });
      const reads = await Promise.all([0, 1, 2].map(() => call('GET', path, { token: admin })));
      expect(reads.map(({ body }) => body.jobTitle)).toEqual([jobTitle, jobTitle, jobTitle]);
    }
  });

  const limit = async (requestRate: number | null, requestBurst: number | null) => {
    const token = await operatorToken();
    const { status, body } = await call('PATCH', `/tenants/${slug}`, {
      token,
      body: { requestRate, requestBurst },
    });
    expect([status, body.requestRate, body.requestBurst]).toEqual([200, requestRate, requestBurst]);
  };

  test('a burst beyond the tenant’s limit is 429 with Retry-After, and later requests work again', async () => {
    await limit(1, 3);
    const burst = () =>
      Promise.all(Array.from({ length: 10 }, () => call('GET', '/teams', { token: admin })));
    // Containers know the new limit within two seconds.
    await expect
      .poll(async () => (await burst()).filter(({ status }) => status === 429).length, { interval: 500 })
      .toBeGreaterThan(0);
    const refused = (await burst()).find(({ status }) => status === 429);
    expect(refused?.headers.get('retry-after')).toMatch(/^[1-9]/);
    expect(refused?.headers.get('ratelimit-limit')).toBe('3');
    expect(refused?.body.type).toBe('urn:strata:problem:too-many-requests');
    await limit(null, null);
    await expect
      .poll(async () => (await call('GET', '/teams', { token: admin })).headers.get('ratelimit-limit'), {
        interval: 500,
      })
      .toBe('200');
  });
});
