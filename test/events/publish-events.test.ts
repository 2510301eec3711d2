import { beforeEach, expect, test } from 'vitest';
import { THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import { publishEvents } from '../../functions/events/publish-events.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import {
  deleteOld,
  leaseOutbox,
  measureBacklog,
  releaseOutbox,
} from '../../functions/registry/event-outbox.ts';
import { AlertRuns } from '../alerts/alert-runs.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { TestDatabase } from '../test-database.ts';
import { addTenant, CollectingBus, setStatus } from './outbox-rows.ts';

let database: TestDatabase;
let registry: RegistryOverPostgres;
let bus: CollectingBus;
ownRegistry(async (own) => {
  database = own;
  registry = await database.registry();
});
beforeEach(async () => {
  await registry.query('DELETE FROM event_outbox');
  await registry.query('UPDATE event_publisher SET lease = NULL, lease_expires_at = NULL');
  bus = new CollectingBus();
});

const publish = (to: RegistryExecutor = registry) =>
  publishEvents(to, bus, { region: 'us', deadline: performance.now() + 30_000 });

/** A tenant with three events. */
async function busyTenant(): Promise<string> {
  const tenantId = await addTenant(registry);
  await setStatus(registry, tenantId, 'active');
  await setStatus(registry, tenantId, 'suspended');
  return tenantId;
}
const BUSY = ['TenantOnboardingStarted', 'TenantActivated', 'TenantSuspended'];

/** A run that is killed at the first statement of that kind: it has no time to release anything. */
const killedAt = (statement: RegExp): RegistryExecutor => {
  let dead = false;
  return {
    query(sql, parameters) {
      dead ||= statement.test(sql);
      return dead ? Promise.reject(new Error('killed')) : registry.query(sql, parameters);
    },
  };
};

test('events of many tenants go in batches of at most ten, each tenant’s in order', async () => {
  const tenants: string[] = [];
  for (let each = 0; each < 23; each += 1) tenants.push(await busyTenant());
  expect(await publish()).toEqual({ published: 69, failed: 0, refused: 0 });
  expect(Math.max(...bus.batches)).toBe(10);
  expect(bus.batches.length).toBeLessThan(12);
  for (const tenantId of tenants) expect(bus.types(tenantId)).toEqual(BUSY);
  expect(await publish()).toEqual({ published: 0, failed: 0, refused: 0 });
});

test('a run that is killed after the bus’s answer loses nothing: the next one repeats the event under its id', async () => {
  const tenantId = await busyTenant();
  await expect(publish(killedAt(/update "event_outbox" set "published_at"/))).rejects.toThrow('killed');
  expect(bus.types()).toEqual([BUSY[0]]);
  // Its lease keeps others away until it expires.
  expect(await publish()).toEqual({ published: 0, failed: 0, refused: 0 });
  await registry.query("UPDATE event_publisher SET lease_expires_at = now() - interval '1 second'");
  expect(await publish()).toMatchObject({ published: 3 });
  expect(bus.types(tenantId)).toEqual([BUSY[0], ...BUSY]);
  const ids = bus.seen.map(({ detail }) => detail.eventId);
  expect(ids[0]).toBe(ids[1]);
  expect(new Set(ids).size).toBe(3);
  expect(bus.seen.map(({ detail }) => detail.sequence)).toEqual([1, 1, 2, 3]);
});

test('a run that is killed before it has put anything leaves everything to the next one', async () => {
  await busyTenant();
  await expect(publish(killedAt(/"refused_at" is null.*order by/s))).rejects.toThrow('killed');
  await registry.query("UPDATE event_publisher SET lease_expires_at = now() - interval '1 second'");
  expect(await publish()).toMatchObject({ published: 3 });
});

test('an event that the bus refuses is tried again, and only its tenant waits for it', async () => {
  const [held, other] = [await busyTenant(), await busyTenant()];
  bus.refuse = ({ type, detail }) =>
    detail.tenantId === held && type === 'TenantActivated' ? 'ThrottlingException' : undefined;
  expect(await publish()).toEqual({ published: 4, failed: 1, refused: 0 });
  expect(bus.types(other)).toEqual(BUSY);
  expect(bus.types(held)).toEqual(['TenantOnboardingStarted']);
  expect(await registry.query('SELECT attempts, reason FROM event_outbox WHERE attempts > 0')).toEqual([
    { attempts: 1, reason: 'ThrottlingException' },
  ]);
  bus.refuse = () => undefined;
  expect(await publish()).toEqual({ published: 2, failed: 0, refused: 0 });
  expect(bus.types(held)).toEqual(BUSY);
});

test('while the bus takes nothing the events stay, and the lease is free again', async () => {
  await busyTenant();
  bus.put = () => Promise.reject(new Error('unreachable'));
  await expect(publish()).rejects.toThrow('unreachable');
  expect(await measureBacklog(registry)).toMatchObject({ waiting: 3 });
  const lease = await leaseOutbox(registry);
  expect(lease).toBeDefined();
  await releaseOutbox(registry, lease!);
});

test('an event that does not fit its schema is kept, not published, and no other one waits for it', async () => {
  const tenantId = await busyTenant();
  const master = await database.connect('master');
  await master.query(
    `UPDATE event_outbox SET facts = facts || '{"adminEmail":"planted@person.test"}' WHERE event_type = 'TenantActivated'`,
  );
  await master.query(`UPDATE event_outbox SET event_type = 'Unheard' WHERE event_type = 'TenantSuspended'`);
  expect(await publish()).toEqual({ published: 1, failed: 0, refused: 2 });
  expect(bus.types(tenantId)).toEqual(['TenantOnboardingStarted']);
  const kept = await registry.query(
    'SELECT reason FROM event_outbox WHERE refused_at IS NOT NULL ORDER BY position',
  );
  expect(kept).toEqual([
    { reason: 'does not fit its schema: adminEmail' },
    { reason: 'there is no event Unheard' },
  ]);
  expect(await measureBacklog(registry)).toMatchObject({ waiting: 0, refused: 2 });
  // The next run says nothing new.
  expect(await publish()).toEqual({ published: 0, failed: 0, refused: 0 });
});

test('an event that was refused is published by a release whose schema it fits', async () => {
  const tenantId = await busyTenant();
  const master = await database.connect('master');
  const [name, unheard] = ['TenantActivated', 'Unheard'];
  const rename = (from: string, to: string) =>
    master.query('UPDATE event_outbox SET event_type = $2 WHERE event_type = $1', [from, to]);
  await rename(name, unheard);
  expect(await publish()).toEqual({ published: 2, failed: 0, refused: 1 });
  await rename(unheard, name);
  expect(await publish()).toEqual({ published: 1, failed: 0, refused: 0 });
  expect(bus.seen.map(({ detail }) => detail.sequence)).toEqual([1, 3, 2]);
  expect(bus.types(tenantId)).toEqual([BUSY[0], BUSY[2], name]);
});

test('of two runs at once one publishes', async () => {
  await busyTenant();
  const other = await database.registry();
  const outcomes = await Promise.all([publish(), publish(other)]);
  expect(outcomes.map(({ published }) => published).sort()).toEqual([0, 3]);
  expect(bus.types()).toEqual(BUSY);
});

test('a run ends at its deadline, and the next one goes on', async () => {
  await busyTenant();
  expect(await publishEvents(registry, bus, { region: 'us', deadline: performance.now() - 1 })).toMatchObject(
    {
      published: 0,
    },
  );
  expect(await publish()).toMatchObject({ published: 3 });
});

test('published events are deleted after their retention, waiting ones never', async () => {
  await busyTenant();
  await publish();
  await busyTenant();
  const master = await database.connect('master');
  await master.query(
    `UPDATE event_outbox SET published_at = published_at - interval '8 days' WHERE published_at IS NOT NULL`,
  );
  await master.query(`UPDATE event_outbox SET occurred_at = occurred_at - interval '8 days'`);
  await deleteOld(registry, 7);
  expect(await registry.query('SELECT event_type FROM event_outbox ORDER BY position')).toHaveLength(3);
  const { oldestSeconds } = await measureBacklog(registry);
  expect(Math.round(oldestSeconds / 86_400)).toBe(8);
});

test('a refused event stays, but that of an erased tenant only for the retention', async () => {
  const [kept, erased] = [await addTenant(registry), await addTenant(registry)];
  const master = await database.connect('master');
  await master.query(
    `UPDATE event_outbox SET event_type = 'Unheard', reason = 'x', refused_at = now() - interval '8 days'`,
  );
  await master.query(
    `INSERT INTO tenant_offboardings (tenant_id, region, cause, former_status, execution_arn, started_by, phase, erasing_since)
     VALUES ($1, 'us', 'request', 'active', 'x', 'test', 'erase', now() - interval '9 days')`,
    [erased],
  );
  await deleteOld(registry, 7);
  const { rows } = await master.query("SELECT tenant FROM event_outbox WHERE event_type = 'Unheard'");
  expect(rows).toEqual([{ tenant: kept }]);
});

test('alert events-unpublished: events that the bus or their schema refuses, until they are published', async () => {
  const [held, misfit] = [await busyTenant(), await busyTenant()];
  const alerts = new AlertRuns(registry);
  bus.refuse = ({ type, detail }) =>
    detail.tenantId === held && type === 'TenantActivated' ? 'ThrottlingException' : undefined;
  for (let run = 1; run < THRESHOLDS.eventAttempts; run += 1) await publish();
  await alerts.run();
  expect(await alerts.alerts('', 'events-unpublished')).toEqual([]);
  const master = await database.connect('master');
  await master.query(`UPDATE event_outbox SET published_at = NULL, event_type = 'Unheard'
    WHERE event_type = 'TenantSuspended' AND tenant = '${misfit}'`);
  await publish();
  const alert = await alerts.opensOnceAndEnds({
    about: '',
    kind: 'events-unpublished',
    end: async () => {
      bus.refuse = () => undefined;
      await master.query(
        `UPDATE event_outbox SET event_type = 'TenantSuspended' WHERE event_type = 'Unheard'`,
      );
      await publish();
    },
  });
  expect(alert).toMatchObject({
    summary: '1 event does not fit its schema; 1 event was refused by the bus again and again.',
    details: {
      refused: 1,
      held: 1,
      events: [
        { type: 'TenantActivated', tenantId: held, reason: 'ThrottlingException', isRefused: false },
        { type: 'Unheard', tenantId: misfit, reason: 'there is no event Unheard', isRefused: true },
      ],
    },
  });
});
