/** Work that has failed, is overdue or did not begin, as the registry has it: each opens one alert, which ends with it. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import { AlertWorld } from './alert-world.ts';

let world: AlertWorld;
beforeAll(async () => {
  world = await AlertWorld.create();
});
afterAll(() => world?.drop());

type Values = Record<string, string | number>;
/** Statements with `:tenantId` and `:id`. */
interface Case {
  readonly kind: string;
  readonly what: string;
  readonly begin: readonly string[];
  readonly end: readonly string[];
  readonly details?: object;
}

const BACKUP = `INSERT INTO tenant_backups (backup_id, tenant_id, region, tier, isolation_model, epoch, schema_version, status,
    prefix, started_by, started_at, expires_at, reason, finished_at)`;
const backup = (id: string, status: string, started: string) =>
  `${BACKUP} VALUES (${id}, :tenantId::uuid, 'us', 'starter', 'shared', 1, 6, '${status}', 'p/', 'test', ${started},
     now() + interval '7 days', 'No space.', ${status === 'running' ? 'NULL' : 'now()'})`;
const EXPORT =
  'INSERT INTO tenant_exports (export_id, tenant_id, region, status, prefix, started_by, started_at,';
const MOVE =
  'INSERT INTO tenant_moves (move_id, tenant_id, status, phase, input, plan, started_by, started_at,';
const ROLLOUT =
  'INSERT INTO schema_rollouts (rollout_id, status, phase, schema_version, tenancy_version, started_by, started_at, finished_at)';

const cases: readonly Case[] = [
  {
    kind: 'backup-failed',
    what: 'a backup that failed, until one succeeds',
    begin: [backup(':id::uuid', 'failed', 'now()')],
    end: [backup('gen_random_uuid()', 'succeeded', `now() + interval '1 second'`)],
    details: { reason: 'No space.' },
  },
  {
    kind: 'backup-overdue',
    what: 'a tenant without a recent backup',
    begin: [
      `UPDATE tenant_database_routing SET created_at = now() - interval '2 days' WHERE tenant_id = :tenantId::uuid`,
      backup(':id::uuid', 'succeeded', `now() - interval '31 hours'`),
    ],
    end: [backup('gen_random_uuid()', 'succeeded', `now() - interval '29 hours'`)],
  },
  {
    kind: 'restore-drill-failed',
    what: 'a drill that failed, until one passes',
    begin: [
      `UPDATE tenants SET last_drill = '{"status": "failed", "at": "2026-01-01T00:00:00Z", "reason": "Rows differ."}'
       WHERE tenant_id = :tenantId::uuid`,
    ],
    end: [
      `UPDATE tenants SET last_drill = '{"status": "passed", "at": "2026-01-02T00:00:00Z"}' WHERE tenant_id = :tenantId::uuid`,
    ],
    details: { reason: 'Rows differ.' },
  },
  {
    kind: 'restore-failed',
    what: 'a restore that failed, until another one begins',
    begin: [
      `${MOVE} finished_at, restore) VALUES (:id::uuid, :tenantId::uuid, 'failed', 'fill', '{}', '[]', 'test', now(), now(),
         '{"mode": "replace"}')`,
    ],
    end: [
      `${MOVE} restore) VALUES (gen_random_uuid(), :tenantId::uuid, 'running', 'fill', '{}', '[]', 'test',
         now() + interval '1 second', '{"mode": "replace"}')`,
    ],
    details: { phase: 'fill' },
  },
  {
    kind: 'move-mismatch',
    what: 'a move whose sides differ, until it is compared again',
    begin: [
      `${MOVE} finished_at) VALUES (:id::uuid, :tenantId::uuid, 'succeeded', 'compare', '{}', '[]', 'test', now(), now())`,
      `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix, state)
       VALUES (:id::uuid, 0, :tenantId::uuid, 'reshape', '{}', '{}', '1a1', 'mismatch')`,
    ],
    end: [`UPDATE tenant_move_hops SET state = 'working' WHERE move_id = :id::uuid`],
    details: { hop: 0 },
  },
  {
    kind: 'schema-rollout-failed',
    what: 'a target that a rollout left behind, until a later one reaches it',
    begin: [
      `${ROLLOUT} VALUES (:id::uuid, 'failed', 'finished', 6, 2, 'test', now(), now())`,
      `INSERT INTO schema_rollout_targets (rollout_id, target, isolation_model, tenant_id, state, reason)
       VALUES (:id::uuid, 'tenant ' || :tenantId, 'schema', :tenantId::uuid, 'failed', 'TablesBusy')`,
    ],
    end: [
      `${ROLLOUT} VALUES (gen_random_uuid(), 'succeeded', 'finished', 6, 2, 'test', now() + interval '1 second', now())`,
    ],
    details: { reason: 'TablesBusy' },
  },
  {
    kind: 'work-failed',
    what: 'an export that failed, until another one begins',
    begin: [
      `${EXPORT} finished_at, expires_at, reason) VALUES (:id::uuid, :tenantId::uuid, 'us', 'failed', 'p/', 'test', now(), now(),
         now(), 'Why.')`,
    ],
    end: [
      `${EXPORT} expires_at) VALUES (gen_random_uuid(), :tenantId::uuid, 'us', 'running', 'p/', 'test',
         now() + interval '1 second', now())`,
    ],
    details: { work: 'export', reason: 'Why.' },
  },
  {
    kind: 'work-overdue',
    what: 'a backup that runs for too long',
    begin: [backup(':id::uuid', 'running', `now() - interval '7 hours'`)],
    end: [`UPDATE tenant_backups SET status = 'succeeded', finished_at = now() WHERE backup_id = :id::uuid`],
    details: { work: 'backup' },
  },
  {
    kind: 'work-overdue',
    what: 'an onboarding that does not end',
    begin: [
      `UPDATE tenants SET status = 'provisioning', created_at = now() - interval '31 minutes' WHERE tenant_id = :tenantId::uuid`,
    ],
    end: [`UPDATE tenants SET status = 'active' WHERE tenant_id = :tenantId::uuid`],
    details: { work: 'onboarding' },
  },
  {
    kind: 'work-failed',
    what: 'an onboarding that failed',
    begin: [`UPDATE tenants SET status = 'failed', updated_at = now() WHERE tenant_id = :tenantId::uuid`],
    end: [`UPDATE tenants SET status = 'active' WHERE tenant_id = :tenantId::uuid`],
    details: { work: 'onboarding' },
  },
];

test('nothing is told of a tenant that is well', async () => {
  const { tenantId } = await world.metered.addTenant('shared', 'us-1');
  await world.run();
  expect(await world.alerts(tenantId)).toEqual([]);
});

test.each(cases)('$kind: $what', async ({ kind, begin, end, details = {} }) => {
  const { tenantId } = await world.metered.addTenant('shared', 'us-1');
  const values: Values = { tenantId, id: randomUUID() };
  const all = async (statements: readonly string[]) => {
    for (const statement of statements) await world.registry.query(statement, values);
  };
  await all(begin);
  await world.run();
  const [open, ...more] = await world.alerts(tenantId);
  expect(more).toEqual([]);
  expect(open).toMatchObject({ kind, status: 'open', published: true, details });
  await all(end);
  await world.run();
  expect(await world.alerts(tenantId)).toMatchObject([{ alertId: open!.alertId, status: 'resolved' }]);
  expect(world.failures).toEqual([]);
});

test('a failure is no longer told after a week', async () => {
  const { tenantId } = await world.metered.addTenant('shared', 'us-1');
  await world.registry.query(
    `${MOVE} finished_at) VALUES (gen_random_uuid(), :tenantId::uuid, 'failed', 'copy', '{}', '[]', 'test', now(), now())`,
    { tenantId },
  );
  await world.run();
  expect(await world.alerts(tenantId)).toMatchObject([{ kind: 'move-failed', status: 'open' }]);
  await world.registry.query(
    `UPDATE tenant_moves SET finished_at = now() - make_interval(secs => :seconds::integer)
     WHERE tenant_id = :tenantId::uuid`,
    { tenantId, seconds: THRESHOLDS.failureSeconds + 60 },
  );
  await world.run();
  expect(await world.alerts(tenantId)).toMatchObject([{ status: 'resolved' }]);
});

test('events-unpublished: events that the bus or their schema refuses, until they are published or deleted', async () => {
  const { registry } = world;
  const alerts = async () => {
    await world.run();
    return registry.query<{ status: string; summary: string; details: string }>(
      `SELECT status, summary, details::text AS details FROM alerts WHERE kind = 'events-unpublished' ORDER BY opened_at`,
    );
  };
  const first = (where: string) =>
    `(SELECT min(position) FROM event_outbox WHERE published_at IS NULL ${where})`;
  await registry.query(`UPDATE event_outbox SET attempts = 14 WHERE position = ${first('')}`);
  expect(await alerts()).toEqual([]);
  await registry.query(`UPDATE event_outbox SET attempts = 15, reason = 'Throttled' WHERE attempts = 14`);
  await registry.query(
    `UPDATE event_outbox SET refused_at = now(), reason = 'does not fit' WHERE position = ${first('AND attempts = 0')}`,
  );
  const [opened, ...others] = await alerts();
  expect(others).toEqual([]);
  expect(opened).toMatchObject({
    status: 'open',
    summary: '1 event does not fit its schema; 1 event was refused by the bus again and again.',
  });
  expect(JSON.parse(opened!.details)).toMatchObject({
    refused: 1,
    held: 1,
    events: [
      { type: expect.any(String), reason: 'Throttled', isRefused: false },
      { reason: 'does not fit', isRefused: true },
    ],
  });
  await registry.query('DELETE FROM event_outbox WHERE refused_at IS NOT NULL');
  await registry.query('UPDATE event_outbox SET published_at = now() WHERE attempts = 15');
  expect(await alerts()).toMatchObject([{ status: 'resolved' }]);
});
