import { InvokeCommand, LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { FULL_RUN } from '../full-run.ts';
import { strata } from '../infra/cli/run-command.ts';
import { MovingTenant } from './moving-tenant.ts';
import {
  ASK_EVERY_MS,
  call,
  newEmployee,
  onboardOwnTenant,
  operatorToken,
  platform,
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
const patch = (path: string, body: object) => call('PATCH', path, { token: operator, body });
/** What the daily run does once there are figures. Whoever is moved by another test file is not measured meanwhile. */
const evaluate = (timeOfDay = '02:30') => invoke('PromotionEvaluate', { timeOfDay });
const regulation = { complianceRequirements: ['hipaa'], force: true };

async function onboard(fields: object = {}) {
  const tenant = await MovingTenant.create(fields);
  return { tenant, path: `/tenants/${tenant.slug}` };
}

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
  expect(items).toMatchObject([
    {
      tenantId: expect.any(String),
      sampledOn: '2026-03-11',
      activeUsers: 2,
      activeEmployees: 3,
      userCount: 4,
      assessmentCount: 0,
      storageBytes: expect.any(Number),
      databaseSizeBytes: expect.any(Number),
      rowOperations: null,
      monthlyRevenue: 99.5,
      sampledAt: expect.stringMatching(/Z$/),
      // Nothing has asked the log about that day.
      requests: null,
    },
  ]);
});

describe('the daily run', () => {
  test('keeps small tenants, and tells of the offer to a regulated Business tenant, which it can decline', async () => {
    const path = (await onboard({ tier: 'business' })).path;
    expect((await patch(path, regulation)).status).toBe(200);
    await evaluate();
    const { items: decisions } = await get('/tenants/initech/decisions');
    expect(decisions[0]).toMatchObject({ decision: 'keep', reasons: [{ rule: 'below-threshold' }] });
    const { items: offers } = await get(`${path}/offers`);
    expect(offers).toMatchObject([
      { targetTier: 'enterprise', status: 'open', notifiedAt: expect.stringMatching(/Z$/), moveId: null },
    ]);
    const [{ offerId }] = offers;
    expect((await get(`${path}/decisions`)).items).toMatchObject([
      { decision: 'keep', reasons: [{ rule: 'compliance' }, { rule: 'offer-open' }] },
    ]);
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

describe.concurrent('what the daily run starts', () => {
  type Recorded = { decision: string; reasons: { rule: string }[]; moveId: string | null };
  const decisionsOn = async (path: string): Promise<Recorded[]> => (await get(`${path}/decisions`)).items;
  const rulesOf = ({ decision, reasons }: Recorded) => [decision, ...reasons.map(({ rule }) => rule)];

  /** `npm run strata -- COMMAND …` */
  function command(...args: string[]) {
    const { apiUrl, awsUrl, stateDir } = platform();
    const environment = { API_PORT: new URL(apiUrl).port, AWS_PORT: new URL(awsUrl).port };
    return strata(args, { ...environment, STRATA_DIR: stateDir });
  }

  /** Again and again, since the moves of other test files may leave no room for another one. */
  async function tickUntil(decision: string, path: string): Promise<Recorded> {
    let found: Recorded | undefined;
    const decided = async () => {
      await command('tick', 'daily-promotion');
      found = (await decisionsOn(path)).find((one) => one.decision === decision);
      return found !== undefined;
    };
    await vi.waitUntil(decided, { timeout: 60_000, interval: ASK_EVERY_MS });
    return found as Recorded;
  }

  test('moves a Starter tenant of 50 employees to Business, within its hours, and once', async () => {
    const { tenant, path } = await onboard();
    const hiring = Array.from({ length: 50 }, () => tenant.send('POST', '/employees', newEmployee()));
    expect(new Set((await Promise.all(hiring)).map(({ status }) => status))).toEqual(new Set([201]));
    await evaluate('12:00');
    const [early] = await decisionsOn(path);
    expect(rulesOf(early!)).toEqual(expect.arrayContaining(['defer', 'users', 'maintenance-window']));
    const promotion = await tickUntil('promote', path);
    expect(promotion).toMatchObject({
      targetTier: 'business',
      reasons: [{ rule: 'users', detail: '50 users; Business begins at 50.' }],
      figures: { tier: 'starter', users: 50, activeEmployees: 50, activeUsers: 2 },
      moveId: expect.any(String),
    });
    const { items: moves } = await get(`${path}/moves`);
    expect(moves).toMatchObject([{ moveId: promotion.moveId, startedBy: 'promotion' }]);
    const move = await tenant.ended(`${path}/moves/${promotion.moveId}`);
    expect(move).toMatchObject({ status: 'succeeded', report: { startedBy: 'promotion' } });
    expect(await tenant.tenant()).toMatchObject({ tier: 'business', isolationModel: 'schema' });
    await evaluate();
    const [settled] = await decisionsOn(path);
    expect(rulesOf(settled!)).toEqual(['keep', 'schema-suffices']);
    expect((await get(`${path}/moves`)).items).toHaveLength(1);
    expect((await command('decisions', tenant.slug)).out).toContain('50 users; Business begins at 50.');
  });

  test.runIf(FULL_RUN)(
    'a regulated Business tenant is offered a database of its own, to which it moves once that is accepted',
    async () => {
      const { tenant, path } = await onboard({ tier: 'business' });
      await patch(path, regulation);
      const [{ offerId }] = (await get(`${path}/offers`)).items;
      // It has an administrator and a viewer, and more employees than it may have users.
      await patch(path, { maxUsers: 2 });
      for (let n = 0; n < 3; n++) await tenant.send('POST', '/employees', newEmployee());
      await invoke('PromotionMetering', { day: new Date().toISOString().slice(0, 10) });
      const refused = await post(`${path}/offers/${offerId}/accept`);
      expect([refused.status, refused.body.errors]).toEqual([
        409,
        [{ rule: 'users', detail: expect.stringContaining('3 active users') }],
      ]);
      expect((await get(`${path}/offers`)).items).toMatchObject([{ status: 'open', moveId: null }]);
      await patch(path, { maxUsers: null });
      const accepted = await command('accept', tenant.slug, offerId);
      expect(accepted).toMatchObject({ code: 0, out: expect.stringMatching(/^offer accepted: move /) });
      const again = await post(`${path}/offers/${offerId}/accept`);
      expect(again).toMatchObject({ status: 202, body: { status: 'accepted', moveId: expect.any(String) } });
      expect(accepted.out).toContain(again.body.moveId);
      const move = await tenant.ended(String(again.headers.get('location')));
      expect(move).toMatchObject({ status: 'succeeded', startedBy: again.body.decidedBy });
      expect(await tenant.tenant()).toMatchObject({ tier: 'enterprise', isolationModel: 'dedicated' });
      expect((await post(`${path}/offers/${offerId}/accept`)).body).toEqual(again.body);
      expect((await get(`${path}/moves`)).items).toHaveLength(1);
    },
  );
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
