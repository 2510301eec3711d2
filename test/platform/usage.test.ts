/** What tenants use and cost, from requests over the wire to the answers that operators read. */
import {
  CloudWatchLogsClient,
  DescribeLogGroupsCommand,
  FilterLogEventsCommand,
} from '@aws-sdk/client-cloudwatch-logs';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
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
let slug: string;
let member: string;
beforeAll(async () => {
  operator = await operatorToken();
  slug = await onboardOwnTenant();
  member = await userToken(slug);
});

const get = (path: string) => call('GET', path, { token: operator });
/** UTC day, so many days from now. */
const today = (days = 0) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
const cli = (...words: string[]) =>
  strata(words, {
    STRATA_API_URL: platform().apiUrl,
    AWS_ENDPOINT_URL: platform().awsUrl,
    STRATA_TOKEN: operator,
  });

/** What the hourly schedule does. */
async function aggregate() {
  const ran = await cli('tick', 'usage-aggregation');
  expect(ran).toMatchObject({ code: 0 });
}

/** The tenant's figures of today. */
async function usageToday() {
  const { status, body } = await get(`/tenants/${slug}/usage?from=${today()}&to=${today()}`);
  expect(status).toBe(200);
  return body.items[0];
}

test('a tenant’s requests are counted to its day, with their bytes and database time', async () => {
  const sent = newEmployee();
  const created = await call('POST', '/employees', { token: member, body: sent });
  expect(created.status).toBe(201);
  for (let n = 0; n < 4; n++) await call('GET', '/employees', { token: member });
  const missing = '/employees/00000000-0000-4000-8000-000000000000';
  expect((await call('GET', missing, { token: member })).status).toBe(404);
  await vi.waitUntil(
    async () => {
      await aggregate();
      return (await usageToday())?.requests === 6;
    },
    { timeout: 60_000, interval: ASK_EVERY_MS },
  );
  const figures = await usageToday();
  expect(figures).toMatchObject({ errors: 0, actingUsers: 1, sampledOn: today(), movedBytes: 0 });
  expect(figures.bytesIn).toBe(Buffer.byteLength(JSON.stringify(sent)));
  expect(figures.bytesOut).toBeGreaterThan(5 * 50);
  expect(figures.databaseMs).toBeGreaterThan(0);
  expect(figures.requestMs).toBeGreaterThanOrEqual(figures.databaseMs);
  // Backups and samples of its data, which other tests start for all tenants, are counted meanwhile.
  const { requests, errors, actingUsers, bytesIn, bytesOut, databaseMs, requestMs } = figures;
  await aggregate();
  expect(await usageToday()).toMatchObject({
    requests,
    errors,
    actingUsers,
    bytesIn,
    bytesOut,
    databaseMs,
    requestMs,
  });
});

test('the shares of the fleet are its bill, and a tenant’s costs are its lines', async () => {
  const { status, body: fleet } = await get('/fleet');
  expect(status).toBe(200);
  const millionths = (dollars: number) => Math.round(dollars * 1e6);
  const [region] = fleet.regions;
  expect(region).toMatchObject({ region: 'us' });
  // All tenants were onboarded today or yesterday: what stood on the days before is nobody's.
  const charged = millionths(region.bill) - millionths(region.unallocated);
  expect(charged).toBeLessThan(millionths(region.bill) / 5);
  expect(millionths(fleet.totals.cost)).toBe(charged);
  const groups = fleet.groups.map(({ cost }: { cost: number }) => millionths(cost));
  expect(groups.reduce((sum: number, cost: number) => sum + cost, 0)).toBe(charged);
  expect(fleet.groups).toContainEqual(expect.objectContaining({ cellId: null, tier: 'enterprise' }));
  const { cellId } = (await get(`/tenants/${slug}`)).body;
  expect(fleet.groups).toContainEqual(expect.objectContaining({ cellId, tier: 'starter' }));

  const { body: costs } = await get(`/tenants/${slug}/costs`);
  const { createdAt } = (await get(`/tenants/${slug}`)).body;
  const existed = (Date.parse(costs.to) - Date.parse(createdAt.slice(0, 10))) / 86_400_000 + 1;
  expect(costs).toMatchObject({ days: existed, currency: 'USD', priceBand: { from: 50, to: 500 } });
  expect(costs.monthly).toBeCloseTo((costs.total / (existed * 24)) * 730, 4);
  const lines: { item: string; amount: number }[] = costs.lines;
  expect(lines.reduce((sum, { amount }) => sum + millionths(amount), 0)).toBe(millionths(costs.total));
  expect(lines.map(({ item }) => item)).toEqual(
    expect.arrayContaining(['cell-instances', 'api', 'registry']),
  );
  expect(costs.total).toBeGreaterThan(0);
  expect(costs.total).toBeLessThan(costs.bill);
  const { body: ofAcme } = await get('/tenants/acme/costs');
  expect(ofAcme.lines.map(({ item }: { item: string }) => item)).toContain('dedicated-instances');

  await call('PATCH', `/tenants/${slug}`, { token: operator, body: { monthlyRevenue: 99 } });
  const { body: paying } = await get(`/tenants/${slug}/costs`);
  expect(paying.margin.amount).toBeCloseTo(99 - paying.monthly, 2);
});

test('advice has a reason and figures for each kind, and changes nothing', async () => {
  const before = (await get(`/tenants/${slug}`)).body;
  const { status, body } = await get(`/tenants/${slug}/advice`);
  expect(status).toBe(200);
  expect(body.items.map(({ kind }: { kind: string }) => kind)).toEqual([
    'tier',
    'capacity',
    'reservation',
    'storage',
  ]);
  for (const item of body.items) {
    expect(item.reason).toMatch(/\.$/);
    expect(Object.keys(item.figures).length).toBeGreaterThan(2);
  }
  expect((await get(`/tenants/${slug}`)).body).toEqual(before);
});

describe('bad input is refused, and for operators only', () => {
  test.each(['usage', 'costs'])('%s', async (name) => {
    const path = `/tenants/${slug}/${name}`;
    for (const range of [
      'from=2026-02-02&to=2026-02-01',
      'from=2025-01-01&to=2026-02-05',
      'from=2026-02-30&to=2026-03-01',
      'from=2026-02-01',
      'to=2026-02-01',
      'since=2026-02-01',
    ]) {
      const { status, body } = await get(`${path}?${range}`);
      expect([status, body.type], range).toEqual([400, 'urn:strata:problem:validation']);
    }
    expect((await get(`${path}?from=${today(-399)}&to=${today()}`)).status).toBe(200);
    expect((await get(`/tenants/nobody-at-all/${name}`)).status).toBe(404);
    expect((await call('GET', path, { token: member })).status).toBe(403);
  });

  test('costs of days that are to come', async () => {
    for (const path of [`/tenants/${slug}/costs`, '/fleet']) {
      const { status, body } = await get(`${path}?from=${today()}&to=${today(2)}`);
      expect([status, body.errors]).toEqual([
        400,
        [{ parameter: 'to', detail: 'must not be after today, in UTC' }],
      ]);
      expect((await get(`${path}?from=${today()}&to=${today()}`)).status).toBe(200);
    }
  });

  test('fleet and advice', async () => {
    expect((await get('/fleet?from=2026-02-02&to=2026-02-01')).status).toBe(400);
    expect((await get(`/tenants/${slug}/advice?from=2026-02-01`)).status).toBe(400);
    expect((await get('/tenants/nobody-at-all/advice')).status).toBe(404);
    expect((await call('GET', '/fleet', { token: member })).status).toBe(403);
  });
});

test('the command line shows figures, costs, advice and the fleet', async () => {
  const outputs = await Promise.all([
    cli('usage', slug, '--from', today(), '--to', today()),
    cli('costs', slug),
    cli('advice', slug),
    cli('fleet'),
  ]);
  for (const { code, error } of outputs) expect([code, error]).toEqual([0, '']);
  const [usage = '', costs = '', advice = '', fleet = ''] = outputs.map(({ out }) => out);
  expect(usage).toContain(today());
  expect(costs).toMatch(/registry .* rest .* USD[\s\S]*price band .* 50 to 500/);
  expect(advice).toMatch(/reservation +unknown/);
  expect(fleet).toMatch(/us +us-\d +starter[\s\S]*bill of/);
  expect((await cli('fleet', '--from', today())).code).not.toBe(0);
});

test('the log of requests is in the functions’ log groups, without addresses', async () => {
  const logs = new CloudWatchLogsClient({
    endpoint: platform().awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
  });
  const { logGroups = [] } = await logs.send(
    new DescribeLogGroupsCommand({ logGroupNamePattern: 'PeopleLogs' }),
  );
  const { body: tenant } = await get(`/tenants/${slug}`);
  const { events = [] } = await logs.send(
    new FilterLogEventsCommand({
      logGroupName: logGroups[0]?.logGroupName,
      filterPattern: `"${tenant.tenantId}"`,
    }),
  );
  expect(events.length).toBeGreaterThanOrEqual(6);
  for (const { message = '' } of events) {
    expect(JSON.parse(message)).toMatchObject({
      message: 'request',
      service: 'people',
      tier: 'starter',
      cell: tenant.cellId,
      traceId: expect.stringMatching(/^1-[0-9a-f]{8}-[0-9a-f]{24}$/),
    });
    expect(message).not.toContain('@');
  }
});
