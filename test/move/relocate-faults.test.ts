/** What goes wrong on the way: a marker that is late, a slot that is lost, rows that differ, a target that is not there. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { claimTenant } from '../../functions/database/transfer/claim.ts';
import { readPlacement } from '../../functions/database/transfer/fence.ts';
import { type Hop, replicationName } from '../../functions/moves/hop.ts';
import { catchUpRelocate } from '../../functions/moves/relocate/catch-up-relocate.ts';
import { compareRelocate } from '../../functions/moves/relocate/compare-relocate.ts';
import { cutOverRelocate } from '../../functions/moves/relocate/cut-over-relocate.ts';
import { rollBackRelocate } from '../../functions/moves/relocate/roll-back-relocate.ts';
import { AlertRuns } from '../alerts/alert-runs.ts';
import { createRelocationWorld, linesOf, type RelocationWorld, stepContext } from './relocation-world.ts';
import { runRelocation } from './run-relocation.ts';

let world: RelocationWorld;
beforeAll(async () => {
  process.env.MOVE_MAX_PAUSE_MS = '500';
  world = await createRelocationWorld({ max_wal_size: '1GB' });
});
afterAll(() => world?.end());
afterEach(() => {
  process.env.MOVE_MAX_PAUSE_MS = '500';
});

const emails = tenantSql.selectFrom('employees').select('email').orderBy('email');
const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'Ada', last_name: 'Lovelace' });
const slotOf = (hop: Hop) => `'${replicationName(hop)}'`;

test('a marker that is late puts off the move: the tenant is writable at once, and the next try succeeds', async () => {
  const tenant = await world.addTenant();
  const hop = await world.hop(tenant, world.y);
  const kept: Record<string, unknown> = await runRelocation(hop, { to: 'catch-up' });
  const target = await world.y.connect('owner');
  // Nothing can be applied while somebody has the table to himself.
  await target.query(`BEGIN; LOCK TABLE ${hop.target.schemaName}.employees IN ACCESS EXCLUSIVE MODE`);
  await tenant.access.batch('write', [add('a@x.test')]);
  process.env.MOVE_MAX_PAUSE_MS = '60';
  const tried = cutOverRelocate(stepContext(hop, kept));
  await expect(tried).rejects.toMatchObject({ name: 'CutOverPostponed' });
  expect(kept).toMatchObject({ fenceTries: 1, pauses: [expect.any(Number)] });
  expect(kept).not.toHaveProperty('committedAt');
  const source = await world.x.connect('owner');
  expect(await readPlacement(source, tenant.tenantId)).toMatchObject({ state: 'active', epoch: 1 });
  // Nobody can enter at the target.
  expect(await readPlacement(target, tenant.tenantId)).toBeUndefined();
  await tenant.access.batch('write', [add('b@x.test')]);
  await target.query('COMMIT');
  process.env.MOVE_MAX_PAUSE_MS = '1000';
  await runRelocation(hop, { from: 'cut-over', kept });
  expect(kept.pauses).toHaveLength(2);
  await world.settle(tenant, hop);
  expect((await tenant.access.batch('read', [emails]))[0]).toEqual([
    { email: 'a@x.test' },
    { email: 'b@x.test' },
  ]);
});

test('alert replication-slot: a slot that was lost ends the move, and rolled back it leaves nothing', async () => {
  const tenant = await world.addTenant(world.y);
  await tenant.access.batch('write', [add('a@x.test')]);
  const before = linesOf(await world.inventory(), tenant);
  const hop = await world.hop(tenant, world.x);
  await runRelocation(hop, { to: 'copy' });
  const alerts = new AlertRuns(world.registry, { surveysDatabases: true });
  await alerts.run();
  expect(await alerts.alerts(tenant.tenantId)).toEqual([]);
  const target = await world.x.connect('owner');
  await target.query(`ALTER SUBSCRIPTION ${replicationName(hop)} DISABLE`);
  const source = await world.y.connect('superuser');
  await source.query("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
  await source.query('SELECT pg_reload_conf()');
  await expect
    .poll(
      async () => {
        await source.query(
          "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000)), pg_switch_wal()",
        );
        await source.query('CHECKPOINT');
        const { rows } = await source.query(
          `SELECT wal_status FROM pg_replication_slots WHERE slot_name = ${slotOf(hop)}`,
        );
        return rows[0]?.wal_status;
      },
      { timeout: 20_000 },
    )
    .toBe('lost');
  await source.query('ALTER SYSTEM RESET max_slot_wal_keep_size');
  await source.query('SELECT pg_reload_conf()');
  await expect(catchUpRelocate(stepContext(hop))).rejects.toMatchObject({ name: 'ReplicationBroken' });
  const alert = await alerts.opensOnceAndEnds({
    about: tenant.tenantId,
    kind: 'replication-slot',
    end: () => rollBackRelocate(hop),
  });
  expect(alert).toMatchObject({
    severity: 'critical',
    cellId: 'y',
    details: { slot: replicationName(hop), walStatus: 'lost' },
  });
  expect(linesOf(await world.inventory(), tenant)).toEqual(before);
  await tenant.access.batch('write', [add('b@x.test')]);
});

test('rows that cannot be applied end the move', async () => {
  const tenant = await world.addTenant();
  await tenant.access.batch('write', [add('a@x.test')]);
  const before = linesOf(await world.inventory(), tenant);
  const hop = await world.hop(tenant, world.y);
  await runRelocation(hop, { to: 'catch-up' });
  const target = await world.y.connect('owner');
  await target.query(`ALTER TABLE ${hop.target.schemaName}.employees ADD CHECK (email <> 'b@x.test')`);
  // Otherwise each failure is followed by five seconds of rest.
  const superuser = await world.y.connect('superuser');
  await superuser.query("ALTER SYSTEM SET wal_retrieve_retry_interval = '100ms'");
  await superuser.query('SELECT pg_reload_conf()');
  await tenant.access.batch('write', [add('b@x.test')]);
  await expect(runRelocation(hop, { from: 'catch-up' })).rejects.toMatchObject({ name: 'ReplicationBroken' });
  await superuser.query('ALTER SYSTEM RESET wal_retrieve_retry_interval');
  await superuser.query('SELECT pg_reload_conf()');
  await rollBackRelocate(hop);
  expect(linesOf(await world.inventory(), tenant)).toEqual(before);
});

test('a row that differs stops the move with both sides kept, and rows written since are no difference', async () => {
  const tenant = await world.addTenant();
  await tenant.access.batch('write', [add('a@x.test'), add('b@x.test')]);
  const hop = await world.hop(tenant, world.y);
  await runRelocation(hop, { to: 'cut-over' });
  await tenant.access.batch('write', [
    add('c@x.test'),
    tenantSql.updateTable('employees').set({ first_name: 'Grace' }).where('email', '=', 'a@x.test'),
  ]);
  const target = await world.y.connect('owner');
  await target.query(
    `UPDATE ${hop.target.schemaName}.employees SET last_name = 'X' WHERE email = 'b@x.test'`,
  );
  const comparing = compareRelocate(stepContext(hop));
  await expect(comparing).rejects.toMatchObject({
    name: 'MoveMismatch',
    cause: { message: expect.stringContaining('employees') },
  });
  await target.query(
    `UPDATE ${hop.target.schemaName}.employees SET last_name = 'Lovelace' WHERE email = 'b@x.test'`,
  );
  const kept = await runRelocation(hop, { from: 'compare' });
  const [row] = (
    kept.tables as { name: string; rows: number; sourceHash: string; targetHash: string }[]
  ).filter(({ name }) => name === 'employees');
  expect(row).toMatchObject({ rows: 1, targetHash: row!.sourceHash });
  await world.settle(tenant, hop);
});

test('an attempt that never reached its target, or that found none, is rolled back', async () => {
  const tenant = await world.addTenant();
  const before = linesOf(await world.inventory(), tenant);
  const planned = await world.hop(tenant, world.y, 'dedicated');
  const hop: Hop = { ...planned, target: { ...planned.target, host: null, port: null, writerHost: null } };
  await rollBackRelocate(hop);
  const owner = await world.x.connect('owner');
  await claimTenant(owner, hop.attempt);
  await rollBackRelocate(hop);
  expect(linesOf(await world.inventory(), tenant)).toEqual(before);
});

test('what was at the target before comes back when the attempt is rolled back behind its placement', async () => {
  const tenant = await world.addTenant();
  const away = await world.hop(tenant, world.y);
  await runRelocation(away);
  await world.settle(tenant, away);
  const before = linesOf(await world.inventory(), tenant);
  const back = await world.hop(tenant, world.x);
  await runRelocation(back, { to: 'catch-up' });
  const target = await world.x.connect('owner');
  const { placeAtTarget } = await import('../../functions/database/transfer/target-placement.ts');
  // The mover dies between the two commits of a cut-over.
  await placeAtTarget(target, { ...back.target, tenantId: tenant.tenantId });
  await rollBackRelocate(back);
  expect(linesOf(await world.inventory(), tenant)).toEqual(before);
  const { rows } = await target.query('SELECT forward, former FROM tenancy.placement WHERE tenant_id = $1', [
    tenant.tenantId,
  ]);
  expect(rows).toMatchObject([{ forward: { secret_arn: away.target.secretArn }, former: null }]);
});

test('no row of the tenant passes through the mover', async () => {
  const tenant = await world.addTenant();
  const secret = 'a value that nobody but the tenant sees';
  await tenant.access.batch('write', [
    tenantSql.insertInto('employees').values({ email: 'a@x.test', first_name: secret, last_name: 'B' }),
  ]);
  const hop = await world.hop(tenant, world.y);
  const received: string[] = [];
  const { connect } = pg.Client.prototype;
  pg.Client.prototype.connect = function (this: pg.Client, ...args: never[]) {
    const { connection } = this as unknown as { connection: NodeJS.EventEmitter };
    connection.on('dataRow', (message) => received.push(JSON.stringify(message)));
    return Reflect.apply(connect, this, args);
  } as never;
  try {
    await runRelocation(hop);
  } finally {
    pg.Client.prototype.connect = connect;
  }
  expect(received.length).toBeGreaterThan(50);
  expect(received.filter((row) => row.includes(secret) || row.includes('a@x.test'))).toEqual([]);
  await world.settle(tenant, hop);
});
