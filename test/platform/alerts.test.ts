import { SFNClient, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test, vi } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import { administrator, inDatabases } from './platform-databases.ts';
import {
  type Answer,
  ASK_EVERY_MS,
  call,
  onboardOwnTenant,
  operatorToken,
  platform,
  userToken,
} from './running-platform.ts';

const NOBODY = '00000000-0000-4000-8000-000000000000';
let operator: string;
beforeAll(async () => {
  operator = await operatorToken();
});

const get = (path: string): Promise<Answer> => call('GET', path, { token: operator });
const acknowledge = (alertId: string, token = operator) =>
  call('POST', `/alerts/${alertId}/acknowledge`, { token });

/** `npm run strata -- COMMAND …`, as an operator. */
function command(...args: string[]) {
  const { apiUrl, awsUrl } = platform();
  return strata(args, {
    STRATA_API_URL: apiUrl,
    AWS_ENDPOINT_URL: awsUrl,
    STRATA_TOKEN: operator,
  });
}

/** One run, by the schedule's name. Another test's tenant may be in a state that fails a rule: only ours counts. */
async function tick(): Promise<void> {
  const { out } = await command('tick', 'alerts');
  expect(out).toContain('strata-us-alerts');
}

test('alert access-refused, alert access-operator, alert access-encrypted: each opens once, is acknowledged, and ends by itself', async () => {
  const slug = await onboardOwnTenant();
  const token = await userToken(slug);
  const { tenantId } = (await get(`/tenants/${slug}`)).body;
  for (let n = 0; n < 31; n++) {
    expect((await call('GET', `/employees/${NOBODY}`, { token })).status).toBe(404);
  }
  const employee = { email: `ada@${slug}.test`, firstName: 'Ada', lastName: 'Lovelace', ssn: '123-45-6789' };
  expect((await call('POST', '/employees', { token, body: employee })).status).toBe(201);
  const asOperator = { token: operator, headers: { 'x-tenant-id': slug } };
  for (let n = 0; n < 50; n++) {
    expect((await call('GET', '/employees?limit=1', asOperator)).status).toBe(200);
  }
  const alertsOf = async (kind: string) =>
    (await get(`/alerts?kind=${kind}&tenantId=${tenantId}`)).body.items;
  const alerts = () => alertsOf('access-refused');
  for (let times = 0; times < 2; times++) await tick();
  const [alert, ...more] = await alerts();
  expect(more).toEqual([]);
  expect(alert).toMatchObject({ kind: 'access-refused', status: 'open', severity: 'warning', region: 'us' });
  expect(alert.details).toEqual({ actor: expect.stringMatching(/^[0-9a-f-]{36}$/), refusals: 31 });
  const actor = expect.stringMatching(/^operator:/);
  expect(await alertsOf('access-operator')).toMatchObject([
    { status: 'open', details: { actor, requests: 50, usualOnADay: 0 } },
  ]);
  expect(await alertsOf('access-encrypted')).toMatchObject([{ status: 'open', details: { actor } }]);
  const published = () =>
    inDatabases(
      platform(),
      `SELECT published_at IS NOT NULL AS opened, resolution_published_at IS NOT NULL AS resolved
       FROM alerts WHERE alert_id = '${alert.alertId}'`,
      'registry',
    );
  expect(await published()).toEqual([{ opened: true, resolved: false }]);

  expect((await acknowledge(alert.alertId, token)).status).toBe(403);
  const taken = await acknowledge(alert.alertId);
  expect([taken.status, taken.body.status]).toEqual([200, 'acknowledged']);
  expect((await acknowledge(alert.alertId)).body).toEqual(taken.body);
  const { out } = await command('alerts', 'list', '--tenant', slug);
  expect(out).toMatch(new RegExp(`acknowledged +access-refused .*${alert.alertId}`));

  // A day later.
  await inDatabases(
    platform(),
    // Dedicated databases have no shared tables.
    `DO $$ BEGIN IF to_regclass('shared.audit_log') IS NOT NULL THEN
       UPDATE shared.audit_log SET created_at = created_at - interval '1 day' WHERE tenant_id = '${tenantId}';
     END IF; END $$`,
  );
  await tick();
  expect(await alerts()).toMatchObject([{ alertId: alert.alertId, status: 'resolved' }]);
  expect(await published()).toEqual([{ opened: true, resolved: true }]);
  for (const kind of ['access-operator', 'access-encrypted']) {
    expect(await alertsOf(kind)).toMatchObject([{ status: 'resolved' }]);
  }
  const late = await acknowledge(alert.alertId);
  expect([late.status, late.headers.get('content-type')]).toEqual([409, 'application/problem+json']);
  expect((await get(`/alerts/${alert.alertId}`)).body.status).toBe('resolved');
}, 120_000);

test.each([
  ['/alerts?status=closed', 400],
  ['/alerts?kind=Not%20a%20kind', 400],
  ['/alerts?tenantId=initech', 400],
  ['/alerts?cellId=US_1', 400],
  ['/alerts?limit=0', 400],
  ['/alerts?cursor=x', 400],
  ['/alerts?colour=red', 400],
  ['/alerts?kind=no-such-kind', 200],
  [`/alerts/${NOBODY}`, 404],
  ['/alerts/none', 404],
  ['/cells/us-9', 404],
  ['/cells/US_1', 404],
  ['/cells/us-9/rebalancing-plan', 404],
])('GET %s is %i', async (path, status) => {
  expect((await get(path)).status).toBe(status);
});

test('alert move-failed: a move whose execution is stopped, until the next move begins', async () => {
  const slug = await onboardOwnTenant();
  const { tenantId } = (await get(`/tenants/${slug}`)).body;
  const states = new SFNClient(administrator(platform().awsUrl));
  const start = () =>
    call('POST', `/tenants/${slug}/moves`, { token: operator, body: { targetTier: 'business' } });
  const ended = async (path: string) => {
    await vi.waitUntil(async () => (await get(path)).body.status !== 'running', {
      timeout: 60_000,
      interval: ASK_EVERY_MS,
    });
    return (await get(path)).body;
  };
  const { body: move, headers } = await start();
  await states.send(new StopExecutionCommand({ executionArn: move.executionArn }));
  expect(await ended(headers.get('location') as string)).toMatchObject({ status: 'aborted' });
  for (let times = 0; times < 2; times++) await tick();
  const alerts = async () => (await get(`/alerts?kind=move-failed&tenantId=${tenantId}`)).body.items;
  const [alert, ...more] = await alerts();
  expect(more).toEqual([]);
  expect(alert).toMatchObject({ status: 'open', severity: 'critical', details: { moveId: move.moveId } });
  const again = await start();
  expect(await ended(again.headers.get('location') as string)).toMatchObject({
    status: 'succeeded',
    reason: null,
  });
  await tick();
  expect(await alerts()).toMatchObject([{ alertId: alert.alertId, status: 'resolved' }]);
});

test('cells show what the runs have measured, with the rights and the parameters that the templates give', async () => {
  for (let times = 0; times < 2; times++) await tick();
  const { items } = (await get('/cells')).body;
  expect(items.map(({ cellId }: { cellId: string }) => cellId)).toEqual(['us-1', 'us-2']);
  const cell = (await get('/cells/us-1')).body;
  expect(cell.utilisation).toEqual({
    databaseBytes: expect.any(Number),
    connections: expect.any(Number),
    maxConnections: 297,
    replicationSlots: expect.any(Number),
    maxReplicationSlots: 40,
    // From pg_stat_statements, which the parameter group loads and the bootstrap creates.
    databaseLoad: expect.any(Number),
    proxySecrets: expect.any(Number),
    maxProxySecrets: 200,
    observedAt: expect.stringMatching(/Z$/),
  });
});

test('a cell over its limits has a plan of dry runs, and nothing moves', async () => {
  const slug = await onboardOwnTenant({ tier: 'business' });
  const { cellId } = (await get(`/tenants/${slug}`)).body;
  const other = cellId === 'us-1' ? 'us-2' : 'us-1';
  // As measured at another moment; the next run measures again.
  let plan = (await get(`/cells/${cellId}/rebalancing-plan`)).body;
  await vi.waitUntil(async () => {
    await inDatabases(
      platform(),
      `UPDATE cell_utilisation SET figures = figures || '{"connections": 297}' WHERE cell_id = '${cellId}'`,
      'registry',
    );
    plan = (await get(`/cells/${cellId}/rebalancing-plan`)).body;
    return plan.moves.length > 0;
  });
  expect(plan.exceeded).toMatchObject([{ resource: 'connections', used: 297, max: 297 }]);
  const [move] = plan.moves;
  expect(move).toMatchObject({
    targetCell: other,
    newCell: false,
    request: { targetCell: other, dryRun: true },
  });
  const dryRun = await call('POST', `/tenants/${move.slug}/moves`, { token: operator, body: move.request });
  expect([dryRun.status, dryRun.body.dryRun]).toEqual([200, true]);
  const moves = (await get(`/tenants/${slug}/moves`)).body;
  expect(moves.items).toEqual([]);
  const { code, out } = await command('cells', cellId);
  expect(code).toBe(0);
  expect(out).toMatch(/over its limit: 297 of 297 connections|within its limits/);
});
