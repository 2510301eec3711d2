import { InvokeCommand, LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  call,
  newEmployee,
  onboardOwnTenant,
  operatorToken,
  platform,
  unique,
  userToken,
} from './running-platform.ts';

let operator: string;
beforeAll(async () => {
  operator = await operatorToken();
});

/** Runs a deployed function as an operator would by hand, and answers what it answered. */
async function invoke(name: string, event: object) {
  const lambda = new LambdaClient({
    endpoint: platform().awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
    requestHandler: { requestTimeout: 60_000 },
  });
  const { Functions = [] } = await lambda.send(new ListFunctionsCommand({}));
  const found = Functions.find(({ FunctionName }) => FunctionName?.includes(name));
  const answer = await lambda.send(
    new InvokeCommand({ FunctionName: found?.FunctionName, Payload: JSON.stringify(event) }),
  );
  const payload = JSON.parse(Buffer.from(answer.Payload ?? []).toString('utf8'));
  return { error: answer.FunctionError, payload };
}

const get = async (path: string) => (await call('GET', path, { token: operator })).body;
const post = (path: string) => call('POST', path, { token: operator });

test('every demo tenant is measured where its data is, by the rights that the template gives', async () => {
  const { error, payload } = await invoke('PromotionMetering', { day: '2026-03-10' });
  expect([error, payload]).toMatchObject([undefined, { done: true }]);
  // Other test files use the demo tenants too, and take nobody away from them.
  const demo: [slug: string, employees: number, counted: boolean][] = [
    ['initech', 12, false],
    ['globex', 24, true],
    ['acme', 36, true],
  ];
  for (const [slug, employees, counted] of demo) {
    const { items } = await get(`/tenants/${slug}/usage`);
    const sample = items.find(({ sampledOn }: { sampledOn: string }) => sampledOn === '2026-03-10');
    expect(sample.userCount, slug).toBeGreaterThanOrEqual(employees);
    expect(sample.activeUsers, slug).toBeGreaterThanOrEqual(3);
    expect(sample.rowOperations !== null, slug).toBe(counted);
  }
});

test('a tenant’s usage follows what it does, and its revenue what the billing says', async () => {
  const slug = await onboardOwnTenant();
  const token = await userToken(slug);
  for (let n = 0; n < 3; n++) await call('POST', '/employees', { token, body: newEmployee() });
  await call('POST', '/employees', { token, body: newEmployee({ status: 'terminated' }) });
  await call('PATCH', `/tenants/${slug}`, { token: operator, body: { monthlyRevenue: 99.5 } });
  await invoke('PromotionMetering', { day: '2026-03-11' });
  const { items, nextCursor } = await get(`/tenants/${slug}/usage`);
  expect(nextCursor).toBeNull();
  expect(items).toEqual([
    {
      ...{
        tenantId: expect.any(String),
        sampledOn: '2026-03-11',
        activeUsers: 2,
        activeEmployees: 3,
        userCount: 4,
      },
      ...{ assessmentCount: 0, storageBytes: expect.any(Number), databaseSizeBytes: expect.any(Number) },
      ...{ rowOperations: null, monthlyRevenue: 99.5, sampledAt: expect.stringMatching(/Z$/) },
    },
  ]);
});

describe('the daily run', () => {
  async function onboardRegulated(): Promise<string> {
    const slug = unique('hipaa');
    const body = {
      name: slug,
      slug,
      adminEmail: `admin@${slug}.test`,
      tier: 'business',
      complianceRequirements: ['hipaa'],
    };
    const path = String((await call('POST', '/tenants', { token: operator, body })).headers.get('location'));
    await vi.waitUntil(async () => (await get(path)).status === 'active', { timeout: 30_000, interval: 200 });
    return path;
  }

  test('keeps small tenants, and offers a regulated Business tenant Enterprise, which it can decline', async () => {
    const path = await onboardRegulated();
    await invoke('PromotionEvaluate', { timeOfDay: '02:30' });
    const { items: decisions } = await get('/tenants/initech/decisions');
    expect(decisions[0]).toMatchObject({ decision: 'keep', reasons: [{ rule: 'below-threshold' }] });
    const { items: offers } = await get(`${path}/offers`);
    expect(offers).toMatchObject([
      { targetTier: 'enterprise', status: 'open', notifiedAt: expect.stringMatching(/Z$/), moveId: null },
    ]);
    const [{ offerId }] = offers;
    expect((await get(`${path}/decisions`)).items).toMatchObject([{ decision: 'offer', offerId }]);
    const declined = await post(`${path}/offers/${offerId}/decline`);
    expect([declined.status, declined.body.status]).toEqual([200, 'declined']);
    expect((await post(`${path}/offers/${offerId}/decline`)).status).toBe(200);
    const late = await post(`${path}/offers/${offerId}/accept`);
    expect([late.status, late.headers.get('content-type')]).toEqual([409, 'application/problem+json']);
  });

  test('is told what is wrong with its event by name only', async () => {
    const { error, payload } = await invoke('PromotionEvaluate', { timeOfDay: 'noon' });
    expect([error !== undefined, payload.errorType]).toEqual([true, 'PromotionIncomplete']);
  });
});

describe('usage, decisions and offers', () => {
  test.each(['usage', 'decisions', 'offers'])(
    '%s are for operators, of tenants that exist, in pages',
    async (list) => {
      const token = await userToken('initech');
      expect((await call('GET', `/tenants/initech/${list}`, { token })).status).toBe(403);
      const status = async (path: string) => (await call('GET', path, { token: operator })).status;
      expect(await status(`/tenants/nobody-at-all/${list}`)).toBe(404);
      expect(await status(`/tenants/initech/${list}?limit=201`)).toBe(400);
      expect(await status(`/tenants/initech/${list}?cursor=x`)).toBe(400);
      expect(await status(`/tenants/initech/${list}?unknown=1`)).toBe(400);
      expect(await get(`/tenants/initech/${list}?limit=1`)).toHaveProperty('nextCursor');
    },
  );

  test('an offer that does not exist, or has no id at all, is not found', async () => {
    const unknown = '/tenants/initech/offers/00000000-0000-4000-8000-000000000000';
    for (const path of [`${unknown}/accept`, `${unknown}/decline`, '/tenants/initech/offers/none/accept']) {
      expect((await post(path)).status).toBe(404);
    }
  });
});
