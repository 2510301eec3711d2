/** What becomes of an alert: once per condition, published at least once, acknowledged, listed. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { acknowledgeAlert, findAlert, listAlerts } from '../../functions/registry/alerts.ts';
import { InvalidCursor, ResourceConflict, ResourceNotFound } from '../../functions/resources/errors.ts';
import { AlertWorld } from './alert-world.ts';

let world: AlertWorld;
beforeAll(async () => {
  // Drills are in the registry only.
  world = await AlertWorld.create({ surveysDatabases: false });
});
afterAll(() => world?.drop());
beforeEach(() => {
  world.notices.length = 0;
});

/** A tenant with an alert's condition: its latest drill failed. */
async function troubled(): Promise<string> {
  const { tenantId } = await world.metered.addTenant('shared', 'us-1');
  await setDrill(tenantId, 'failed');
  return tenantId;
}
const setDrill = (tenantId: string, status: 'failed' | 'passed') =>
  world.registry.query(
    `UPDATE tenants SET last_drill = jsonb_build_object('status', :status, 'at', '2026-01-01T00:00:00Z')
     WHERE tenant_id = :tenantId::uuid`,
    { tenantId, status },
  );
const regions = () => ({
  keys: ['us'],
  ownKey: 'us',
  own: world.registry,
  of: () => world.registry,
});

describe('a condition', () => {
  test('that returns has another alert', async () => {
    const tenantId = await troubled();
    await world.run();
    await setDrill(tenantId, 'passed');
    await world.run();
    await setDrill(tenantId, 'failed');
    await world.run();
    expect((await world.alerts(tenantId)).map(({ status }) => status)).toEqual(['resolved', 'open']);
    expect(world.subjects('restore-drill-failed')).toHaveLength(3);
  });

  test('that two concurrent runs find has one alert', async () => {
    const tenantId = await troubled();
    const others = [await world.metered.anotherRegistry(), await world.metered.anotherRegistry()];
    await Promise.all(others.map((registry) => world.run({ registry })));
    expect(await world.alerts(tenantId)).toHaveLength(1);
  });

  test('of a tenant that has left ends', async () => {
    const tenantId = await troubled();
    await world.run();
    await world.registry.query(`UPDATE tenants SET status = 'offboarded' WHERE tenant_id = :tenantId::uuid`, {
      tenantId,
    });
    await world.run();
    expect(await world.alerts(tenantId)).toMatchObject([{ status: 'resolved' }]);
  });
});

describe('a message', () => {
  test('that the topic did not take is sent by the next run, and the run says so', async () => {
    const tenantId = await troubled();
    expect(await world.run({ mute: true })).toMatchObject({ published: 0, failures: 1 });
    expect(world.failures).toEqual([expect.stringMatching(/^message about alert .*the topic does not take/)]);
    expect(await world.alerts(tenantId)).toMatchObject([{ status: 'open', published: false }]);
    expect(await world.run()).toMatchObject({ published: 1, failures: 0 });
    expect(await world.run()).toMatchObject({ published: 0 });
    // Opened and ended before any message was taken: both are told, in their order.
    await setDrill(tenantId, 'passed');
    const other = await troubled();
    await world.run({ mute: true });
    await setDrill(other, 'passed');
    await world.run();
    expect(world.notices.map(({ subject }) => subject)).toEqual([
      expect.stringMatching(`^Strata CRITICAL: restore-drill-failed t-${tenantId}`),
      expect.stringMatching(`^Strata RESOLVED: restore-drill-failed t-${tenantId}`),
      expect.stringMatching(`^Strata CRITICAL: restore-drill-failed t-${other}`),
      expect.stringMatching(`^Strata RESOLVED: restore-drill-failed t-${other}`),
    ]);
  });

  test('names the tenant and what to do, and stored text cannot forge a line of it', async () => {
    const tenantId = await troubled();
    await world.registry.query(
      `UPDATE tenants SET last_drill = last_drill || '{"reason": "Rows differ.\\nAcknowledge: here"}'
       WHERE tenant_id = :tenantId::uuid`,
      { tenantId },
    );
    await world.run();
    const { message = '' } = world.notices.find(({ subject }) => subject.includes(tenantId)) ?? {};
    expect(message).toContain(`tenant: t-${tenantId} (${tenantId})`);
    expect(message).toContain('What to do: Back the tenant up at once');
    expect(message.split('\n').filter((line) => line.startsWith('Acknowledge'))).toEqual([
      expect.stringMatching(/^Acknowledge: POST \/alerts\/[0-9a-f-]{36}\/acknowledge$/),
    ]);
    await setDrill(tenantId, 'passed');
    await world.run();
  });
});

describe('an acknowledgement', () => {
  test('is kept with its operator and audited, is the same when it is repeated, and ends with the condition', async () => {
    const tenantId = await troubled();
    await world.run();
    const [{ alertId } = { alertId: '' }] = await world.alerts(tenantId);
    const acknowledged = await acknowledgeAlert(world.registry, alertId, 'op@strata.test');
    expect(acknowledged).toMatchObject({ status: 'acknowledged', acknowledgedBy: 'op@strata.test' });
    expect(await acknowledgeAlert(world.registry, alertId, 'other@strata.test')).toEqual(acknowledged);
    const audit = await world.registry.query(
      `SELECT actor, action FROM control_audit_log WHERE resource_id = :alertId`,
      { alertId },
    );
    expect(audit).toEqual([{ actor: 'op@strata.test', action: 'alert.acknowledge' }]);
    await world.run();
    expect(await world.alerts(tenantId)).toMatchObject([{ status: 'acknowledged' }]);
    await setDrill(tenantId, 'passed');
    await world.run();
    const { alert } = await findAlert(regions(), alertId);
    expect(alert).toMatchObject({ status: 'resolved', acknowledgedBy: 'op@strata.test' });
    await expect(acknowledgeAlert(world.registry, alertId, 'op@strata.test')).rejects.toBeInstanceOf(
      ResourceConflict,
    );
    expect((await findAlert(regions(), alertId)).alert).toEqual(alert);
  });

  test('of an alert that is not there is refused', async () => {
    const unknown = '00000000-0000-4000-8000-000000000000';
    await expect(acknowledgeAlert(world.registry, unknown, 'op')).rejects.toBeInstanceOf(ResourceNotFound);
    await expect(findAlert(regions(), unknown)).rejects.toBeInstanceOf(ResourceNotFound);
  });
});

test('the list is newest first, in pages, and filtered', async () => {
  const tenants = [await troubled(), await troubled(), await troubled()];
  for (const _ of tenants) await world.run();
  const kind = 'restore-drill-failed';
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await listAlerts(regions(), { kind, status: 'open' }, { limit: 1, cursor });
    expect(page.items).toHaveLength(1);
    seen.push(...page.items.map(({ alertId }) => alertId));
    cursor = page.nextCursor ?? undefined;
  } while (cursor);
  const { items } = await listAlerts(regions(), { kind, status: 'open' }, { limit: 200, cursor: undefined });
  expect(items.map(({ alertId }) => alertId)).toEqual(seen);
  expect(items.map(({ openedAt }) => openedAt)).toEqual(
    items
      .map(({ openedAt }) => openedAt)
      .sort()
      .reverse(),
  );
  expect(new Set(items.map(({ tenantId }) => tenantId))).toEqual(new Set(items.map((one) => one.tenantId)));
  for (const tenantId of tenants) {
    const own = await listAlerts(regions(), { tenantId }, { limit: 50, cursor: undefined });
    expect(own.items).toMatchObject([{ tenantId, kind }]);
  }
  const none = await listAlerts(regions(), { cellId: 'us-9' }, { limit: 50, cursor: undefined });
  expect(none).toEqual({ items: [], nextCursor: null });
  await expect(listAlerts(regions(), {}, { limit: 1, cursor: 'x' })).rejects.toBeInstanceOf(InvalidCursor);
});
