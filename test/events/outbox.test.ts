import { beforeEach, describe, expect, test } from 'vitest';
import { EVENTS } from '../../functions/contracts/events.ts';
import { publishEvents } from '../../functions/events/publish-events.ts';
import { measureBacklog } from '../../functions/registry/event-outbox.ts';
import { eventTables } from '../../functions/registry/migrations/0019-events.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { TestDatabase } from '../test-database.ts';
import { addTenant, CollectingBus, setStatus } from './outbox-rows.ts';

let database: TestDatabase;
let writer: RegistryOverPostgres;
let bus: CollectingBus;
ownRegistry(async (own) => {
  database = own;
  writer = await database.registry();
});
beforeEach(async () => {
  await writer.query('DELETE FROM event_outbox');
  bus = new CollectingBus();
});

/** All that this file has published, and what the outbox had of it. */
const everything: { readonly types: Set<string>; readonly texts: string[] } = { types: new Set(), texts: [] };

/** Publishes what waits; all of it must fit its schema. */
async function publish(): Promise<CollectingBus['seen']> {
  const before = bus.seen.length;
  const { refused } = await publishEvents(writer, bus, {
    region: 'us',
    deadline: performance.now() + 30_000,
  });
  const reasons = await writer.query(
    'SELECT event_type, reason FROM event_outbox WHERE refused_at IS NOT NULL',
  );
  expect({ refused, reasons }).toEqual({ refused: 0, reasons: [] });
  const seen = bus.seen.slice(before);
  for (const { type } of seen) everything.types.add(type);
  const rows = await writer.query('SELECT slug, cast(facts AS text) AS facts FROM event_outbox');
  everything.texts.push(JSON.stringify([seen, rows]));
  return seen;
}

const typesOf = async () => (await publish()).map(({ type }) => type);

/** An active tenant whose events so far are published. */
async function activeTenant(tier = 'business'): Promise<string> {
  const tenantId = await addTenant(writer, { tier });
  await setStatus(writer, tenantId, 'active');
  await publish();
  return tenantId;
}

describe('a tenant', () => {
  test('tells of its onboarding, in the order of the changes', async () => {
    const tenantId = await addTenant(writer);
    await setStatus(writer, tenantId, 'failed');
    await setStatus(writer, tenantId, 'provisioning');
    await setStatus(writer, tenantId, 'active');
    const seen = await publish();
    expect(seen.map(({ type, detail }) => [detail.sequence, type])).toEqual([
      [1, 'TenantOnboardingStarted'],
      [2, 'TenantOnboardingFailed'],
      [3, 'TenantOnboardingStarted'],
      [4, 'TenantActivated'],
    ]);
    expect(seen.at(-1)?.detail).toEqual({
      schemaVersion: 1,
      eventId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      sequence: 4,
      occurredAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      region: 'us',
      tenantId,
      slug: `slug-${tenantId}`,
      tier: 'business',
      isolationModel: 'schema',
      cloneOf: null,
    });
  });

  test.each([
    ['active', 'suspended', 'TenantSuspended'],
    ['suspended', 'active', 'TenantResumed'],
    ['active', 'offboarding', 'TenantOffboardingStarted'],
    ['suspended', 'offboarding', 'TenantOffboardingStarted'],
    ['offboarding', 'active', 'TenantOffboardingCancelled'],
    ['offboarding', 'suspended', 'TenantOffboardingCancelled'],
    ['offboarding', 'offboarded', 'TenantErased'],
    ['arriving', 'active', 'TenantArrived'],
    ['arriving', 'suspended', 'TenantArrived'],
    ['elsewhere', 'active', 'TenantArrived'],
  ])('that was %s and is %s tells %s', async (from, to, type) => {
    const tenantId = await addTenant(writer, { status: from });
    await publish();
    await setStatus(writer, tenantId, to);
    expect(await typesOf()).toEqual([type]);
  });

  test('tells of another tier, and of nothing else that changes in its row', async () => {
    const tenantId = await activeTenant('starter');
    const one = 'WHERE tenant_id = cast(:tenantId AS uuid)';
    await writer.query(`UPDATE tenants SET updated_at = now(), max_users = 7 ${one}`, { tenantId });
    await writer.query(`UPDATE tenants SET status = status ${one}`, { tenantId });
    await writer.query(`UPDATE tenants SET subscription_tier = 'enterprise' ${one}`, { tenantId });
    const seen = await publish();
    expect(seen.map(({ type, detail }) => [type, detail.tier, detail.previousTier])).toEqual([
      ['TenantTierChanged', 'enterprise', 'starter'],
    ]);
  });

  test('that leaves for another region, or is expected from there, tells nothing', async () => {
    const tenantId = await activeTenant();
    await setStatus(writer, tenantId, 'elsewhere');
    await addTenant(writer, { status: 'arriving' });
    await addTenant(writer, { status: 'elsewhere' });
    expect(await typesOf()).toEqual([]);
  });

  test('whose change is rolled back tells nothing, and leaves no gap', async () => {
    const tenantId = await activeTenant();
    const failing = writer.transaction(async () => {
      await setStatus(writer, tenantId, 'suspended');
      throw new Error('rolled back');
    });
    await expect(failing).rejects.toThrow('rolled back');
    await setStatus(writer, tenantId, 'offboarding');
    const [seen, ...others] = await publish();
    expect([seen?.type, seen?.detail.sequence, others]).toEqual(['TenantOffboardingStarted', 3, []]);
  });

  test('gets its numbers in the order of commits, while transactions change its rows at once', async () => {
    const tenantId = await activeTenant();
    const others = await Promise.all([1, 2, 3].map(() => database.registry()));
    const insert = `INSERT INTO tenant_offers (tenant_id, target_tier, reasons, figures)
                    VALUES (cast(:tenantId AS uuid), :tier, '[{"rule":"users","detail":"planted"}]', '{}')`;
    await Promise.all([
      others[0]?.query(insert, { tenantId, tier: 'enterprise' }),
      others[1]?.query(insert, { tenantId, tier: 'business' }),
      others[2] && setStatus(others[2], tenantId, 'suspended'),
    ]);
    const seen = await publish();
    expect(seen.map(({ detail }) => detail.sequence)).toEqual([3, 4, 5]);
    expect(seen.map(({ type }) => type).sort()).toEqual(['OfferMade', 'OfferMade', 'TenantSuspended']);
  });
});

describe('runs', () => {
  const REPORT = `'{"writePauseMs":12.5,"rows":1000,"bytes":123456,"startedBy":"planted@person.test"}'`;
  const ENDINGS = ['succeeded', 'failed', 'aborted'] as const;

  test('moves tell their begin, the commit of each hop, and their end', async () => {
    const tenantId = await activeTenant();
    for (const status of ENDINGS) {
      const [move] = await writer.query<{ move_id: string }>(
        `INSERT INTO tenant_moves (tenant_id, input, plan, started_by)
         VALUES (cast(:tenantId AS uuid), '{"targetTier":"enterprise","force":true}', '[]', 'planted@person.test')
         RETURNING move_id`,
        { tenantId },
      );
      const moveId = move?.move_id as string;
      await writer.query(
        `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix)
         VALUES (cast(:moveId AS uuid), 0, cast(:tenantId AS uuid), 'relocate', '{}',
                 '{"isolationModel":"dedicated","region":"us","cellId":null,"databaseHost":"planted.host"}', :status)`,
        { moveId, tenantId, status },
      );
      const ofMove = 'WHERE move_id = cast(:moveId AS uuid)';
      // Recovery settles a hop that was committed in the database only.
      const states = status === 'succeeded' ? ['committed', 'settled', 'cleaned'] : ['settled', 'cleaned'];
      for (const state of states) {
        await writer.query(
          `UPDATE tenant_move_hops SET state = :state, committed_at = coalesce(committed_at, now()) ${ofMove}`,
          { moveId, state },
        );
      }
      await writer.query(`UPDATE tenant_moves SET phase = 'copy' ${ofMove}`, { moveId });
      const report = status === 'succeeded' ? REPORT : 'NULL';
      await writer.query(
        `UPDATE tenant_moves SET status = :status, reason = 'planted reason', finished_at = now(), report = ${report} ${ofMove}`,
        { moveId, status },
      );
      const seen = await publish();
      const ending = `Move${status[0]?.toUpperCase()}${status.slice(1)}`;
      expect(seen.map(({ type }) => type)).toEqual(['MoveStarted', 'MoveCommitted', ending]);
      expect(seen.every(({ detail }) => detail.moveId === moveId)).toBe(true);
      expect(seen[1]?.detail).toMatchObject({ hop: 0, kind: 'relocate', isolationModel: 'dedicated' });
      const figures = status === 'succeeded' ? [12.5, 1000, 123456] : [null, null, null];
      const { writePauseMs, rows, bytes, targetTier, phase } = seen[2]!.detail;
      expect([writePauseMs, rows, bytes, targetTier, phase]).toEqual([...figures, 'enterprise', 'copy']);
    }
  });

  test('restores tell the same by their own names', async () => {
    const tenantId = await activeTenant();
    for (const status of ENDINGS) {
      const [row] = await writer.query<{ move_id: string }>(
        `INSERT INTO tenant_moves (tenant_id, input, plan, started_by, restore)
         VALUES (cast(:tenantId AS uuid), '{}', '[]', 'planted@person.test',
                 '{"mode":"replace","at":"2026-01-31T12:00:00.000Z","adminEmail":"planted@person.test"}')
         RETURNING move_id`,
        { tenantId },
      );
      const restoreId = row?.move_id;
      await writer.query(
        `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix)
         VALUES (cast(:restoreId AS uuid), 0, cast(:tenantId AS uuid), 'reshape', '{}',
                 '{"isolationModel":"schema","region":"us","cellId":"us-1"}', :status)`,
        { restoreId, tenantId, status },
      );
      await writer.query(
        `UPDATE tenant_move_hops SET state = 'committed', committed_at = now() WHERE move_id = cast(:restoreId AS uuid)`,
        { restoreId },
      );
      await writer.query(
        `UPDATE tenant_move_hops SET state = 'cleaned' WHERE move_id = cast(:restoreId AS uuid)`,
        { restoreId },
      );
      await writer.query(
        'UPDATE tenant_moves SET status = :status, finished_at = now() WHERE move_id = cast(:restoreId AS uuid)',
        { restoreId, status },
      );
      const seen = await publish();
      expect(seen.map(({ type }) => type.replace('Restore', '').toLowerCase())).toEqual([
        'started',
        'committed',
        status,
      ]);
      expect(seen[0]?.detail).toMatchObject({
        restoreId,
        mode: 'replace',
        backupId: null,
        pointInTimeAt: '2026-01-31T12:00:00.000Z',
      });
    }
  });

  test('backups tell their begin, their end, and that a good one has expired', async () => {
    const tenantId = await activeTenant();
    for (const status of ENDINGS) {
      const [row] = await writer.query<{ backup_id: string }>(
        `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch, schema_version, prefix, started_by, expires_at)
         VALUES (cast(:tenantId AS uuid), 'us', 'business', 'schema', 1, 6, 'p/', 'planted@person.test', '2026-02-01T00:00:00Z')
         RETURNING backup_id`,
        { tenantId },
      );
      const backupId = row?.backup_id;
      const ofBackup = 'WHERE backup_id = cast(:backupId AS uuid)';
      await writer.query(
        `UPDATE tenant_backups SET status = :status, finished_at = now(), rows = 5, bytes = 1000000000000, reason = 'planted reason' ${ofBackup}`,
        { backupId, status },
      );
      await writer.query(`UPDATE tenant_backups SET status = 'expired' ${ofBackup}`, { backupId });
      const seen = await publish();
      const types = seen.map(({ type }) => type.replace('Backup', '').toLowerCase());
      expect(types).toEqual(['started', status, ...(status === 'succeeded' ? ['expired'] : [])]);
      expect(seen[1]?.detail).toMatchObject({
        backupId,
        rows: 5,
        bytes: 1_000_000_000_000,
        expiresAt: '2026-02-01T00:00:00.000Z',
      });
    }
  });

  test('exports tell their begin and their end', async () => {
    const tenantId = await activeTenant();
    for (const status of ENDINGS) {
      const [row] = await writer.query<{ export_id: string }>(
        `INSERT INTO tenant_exports (tenant_id, region, prefix, started_by, expires_at)
         VALUES (cast(:tenantId AS uuid), 'us', 'p/', 'planted@person.test', now()) RETURNING export_id`,
        { tenantId },
      );
      await writer.query(
        `UPDATE tenant_exports SET status = :status, finished_at = now(),
           bucket = 'b', object_key = 'k', rows = 1, bytes = 2, sha256 = 'x', snapshot_at = now() WHERE export_id = cast(:exportId AS uuid)`,
        { exportId: row?.export_id, status },
      );
      const types = (await typesOf()).map((type) => type.replace('Export', '').toLowerCase());
      expect(types).toEqual(['started', status]);
    }
  });

  test('rollouts tell the same of the fleet, with numbers of its own', async () => {
    for (const status of ENDINGS) {
      const [row] = await writer.query<{ rollout_id: string }>(
        `INSERT INTO schema_rollouts (schema_version, tenancy_version, started_by) VALUES (6, 2, 'ops') RETURNING rollout_id`,
      );
      await writer.query(
        'UPDATE schema_rollouts SET status = :status, finished_at = now() WHERE rollout_id = cast(:id AS uuid)',
        { id: row?.rollout_id, status },
      );
    }
    const seen = await publish();
    expect(seen.map(({ type }) => type.replace('Rollout', '').toLowerCase())).toEqual(
      ENDINGS.flatMap((status) => ['started', status]),
    );
    expect(seen.map(({ detail }) => detail.sequence)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(seen[0]?.detail).toMatchObject({ tenantId: null, slug: null, tier: null, tablesVersion: 6 });
  });
});

describe('figures and offers', () => {
  test('an offer tells that it is made and how it is answered', async () => {
    const tenantId = await activeTenant();
    for (const answer of ['accepted', 'declined', 'withdrawn']) {
      const [row] = await writer.query<{ offer_id: string }>(
        `INSERT INTO tenant_offers (tenant_id, target_tier, reasons, figures)
         VALUES (cast(:tenantId AS uuid), 'enterprise', '[{"rule":"users","detail":"planted"},{"rule":"size","detail":"planted"}]', '{}')
         RETURNING offer_id`,
        { tenantId },
      );
      await writer.query(
        `UPDATE tenant_offers SET status = :answer, decided_by = 'planted@person.test' WHERE offer_id = cast(:id AS uuid)`,
        { id: row?.offer_id, answer },
      );
      const seen = await publish();
      expect(seen.map(({ type }) => type.replace('Offer', '').toLowerCase())).toEqual(['made', answer]);
      expect(seen[0]?.detail).toMatchObject({ targetTier: 'enterprise', rules: ['users', 'size'] });
    }
  });

  test('a measured day tells its figures, and again when it is measured again', async () => {
    const tenantId = await activeTenant();
    const measure = (users: number) =>
      writer.query(
        `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes)
         VALUES (cast(:tenantId AS uuid), '2026-01-31', :users, 4, 5000000000)
         ON CONFLICT (tenant_id, sampled_on) DO UPDATE SET active_users = excluded.active_users, sampled_at = now()`,
        { tenantId, users },
      );
    await measure(2);
    await measure(3);
    const seen = await publish();
    expect(seen.map(({ detail }) => [detail.day, detail.activeUsers, detail.storageBytes])).toEqual([
      ['2026-01-31', 2, 5_000_000_000],
      ['2026-01-31', 3, 5_000_000_000],
    ]);
    expect(seen[0]?.detail).toMatchObject({ users: null, databaseSizeBytes: null });
  });

  test('rows that are copied from another registry tell nothing', async () => {
    const tenantId = await addTenant(writer, { status: 'arriving' });
    const earlier = `now() - interval '1 hour'`;
    await writer.transaction(async () => {
      await writer.query(
        `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, sampled_at)
         VALUES (cast(:tenantId AS uuid), '2026-01-31', 2, 4, ${earlier})`,
        { tenantId },
      );
      await writer.query(
        `INSERT INTO tenant_offers (tenant_id, target_tier, reasons, figures, created_at)
         VALUES (cast(:tenantId AS uuid), 'enterprise', '[]', '{}', ${earlier})`,
        { tenantId },
      );
      await writer.query(
        `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch, schema_version, prefix, started_by, expires_at, status, finished_at)
         VALUES (cast(:tenantId AS uuid), 'us', 'business', 'schema', 1, 6, 'p/', 'reconciliation', now(), 'succeeded', now())`,
        { tenantId },
      );
    });
    expect(await typesOf()).toEqual([]);
  });
});

test('an alert tells that it is opened, acknowledged and resolved', async () => {
  const master = await database.connect('master');
  const { rows } = await master.query(`SELECT to_regclass('public.alerts') IS NOT NULL AS known`);
  if (!rows[0].known) {
    // As the migration of alerts makes it, as far as its triggers are concerned.
    await master.query(`CREATE TABLE alerts (
      alert_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), alert_key text NOT NULL, kind text NOT NULL,
      severity text NOT NULL, status text NOT NULL DEFAULT 'open', region text NOT NULL, tenant_id uuid, cell_id text,
      summary text NOT NULL, acknowledged_at timestamptz, acknowledged_by text, resolved_at timestamptz)`);
    await master.query(eventTables.at(-1)!);
  }
  const tenantId = await activeTenant();
  for (const about of [tenantId, null]) {
    const { rows: made } = await master.query(
      `INSERT INTO alerts (alert_key, kind, severity, region, tenant_id, cell_id, summary)
       VALUES ($1, 'database-size', 'warning', 'us', $2, 'us-1', 'planted summary') RETURNING alert_id`,
      [`planted ${about}`, about],
    );
    const one = [made[0].alert_id];
    await master.query(
      `UPDATE alerts SET status = 'acknowledged', acknowledged_at = now(), acknowledged_by = 'planted@person.test' WHERE alert_id = $1`,
      one,
    );
    await master.query(`UPDATE alerts SET summary = 'planted again' WHERE alert_id = $1`, one);
    await master.query(`UPDATE alerts SET status = 'resolved', resolved_at = now() WHERE alert_id = $1`, one);
    const seen = await publish();
    expect(seen.map(({ type }) => type)).toEqual(['AlertOpened', 'AlertAcknowledged', 'AlertResolved']);
    for (const { detail } of seen) {
      expect(detail).toMatchObject({
        tenantId: about,
        alertId: one[0],
        kind: 'database-size',
        cellId: 'us-1',
      });
    }
  }
});

test('nothing personal and no free text was in any event of these tests', () => {
  expect(everything.texts.length).toBeGreaterThan(20);
  expect(everything.texts.join('\n')).not.toMatch(/planted|person\.test/i);
});

test('each event of the contract was caused here', () => {
  expect(Object.keys(EVENTS).filter((type) => !everything.types.has(type))).toEqual([]);
});

describe('the outbox', () => {
  test.each(['registryWriter', 'registryReader', 'registryUsers'] as const)(
    'takes no event from %s, neither by an insert nor by the function',
    async (role) => {
      const registry = await database.registry(role);
      const insert = `INSERT INTO event_outbox (event_type, sequence, facts) VALUES ('TenantErased', 1, '{}')`;
      await expect(registry.query(insert)).rejects.toMatchObject({ sqlState: '42501' });
      await expect(registry.query(`SELECT append_event('TenantErased', NULL, '{}')`)).rejects.toMatchObject({
        sqlState: '42501',
      });
    },
  );

  test('lets nobody change what an event says, or its numbers', async () => {
    for (const statement of [
      `UPDATE event_outbox SET facts = '{}'`,
      `UPDATE event_outbox SET sequence = 1`,
      'UPDATE event_sequences SET last = 1',
      'DELETE FROM event_sequences',
    ]) {
      await expect(writer.query(statement), statement).rejects.toMatchObject({ sqlState: '42501' });
    }
  });

  test('is filled by whoever changes a row, also by a role that may not read it', async () => {
    const tenantId = await activeTenant();
    const master = await database.connect('master');
    await master.query(`UPDATE tenants SET status = 'suspended' WHERE tenant_id = $1`, [tenantId]);
    expect(await measureBacklog(writer)).toMatchObject({ waiting: 1, refused: 0 });
    expect(await typesOf()).toEqual(['TenantSuspended']);
    expect(await measureBacklog(writer)).toEqual({ waiting: 0, refused: 0, oldestSeconds: 0 });
  });
});
