import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { sqlStateOf } from '../../session/sql-state.ts';
import { ReplicationLost } from '../errors.ts';

/**
 * Creates the slot, or finds it. It waits for every write transaction of the whole cluster that is open at the moment,
 * so its time is bounded; the caller's transaction may hold advisory locks, but has written nothing.
 * @throws {ReplicationLost} the server dropped its WAL (`max_slot_wal_keep_size`).
 * @throws PostgreSQL's 57014 where a write transaction stays open; try again later.
 */
export async function ensureSlot(owner: pg.ClientBase, name: string, seconds: number): Promise<void> {
  if (await slotLag(owner, name)) return;
  await owner.query(`SET LOCAL statement_timeout = '${seconds}s'; SET LOCAL lock_timeout = 0`);
  try {
    await owner.query("select from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
  } finally {
    // If the statement failed, this fails too, and the settings end with the transaction.
    await owner.query('SET LOCAL statement_timeout = 0').catch(() => {});
  }
}

/**
 * What the subscriber has not confirmed yet.
 * @returns undefined where there is no such slot.
 * @throws {ReplicationLost} the server dropped its WAL.
 */
export async function slotLag(
  owner: pg.ClientBase,
  name: string,
): Promise<{ readonly bytes: number } | undefined> {
  const { rows } = await owner.query<{ status: string | null; bytes: string | null }>(
    `select wal_status as status,
            pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn) as bytes
     from pg_catalog.pg_replication_slots
     where slot_name = $1 and database = pg_catalog.current_database()`,
    [name],
  );
  const [slot] = rows;
  if (slot?.status === 'lost') throw new ReplicationLost('the replication slot was lost');
  return slot && { bytes: Math.max(0, Number(slot.bytes ?? 0)) };
}

/**
 * Drops the slot, and those with which a subscription copies its tables, once their readers have ended.
 * @param subscription its oid at the subscriber, where it is still known.
 */
export async function dropSlots(
  owner: pg.ClientBase,
  name: string,
  subscription: string | undefined,
): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      const { rows } = await owner.query<{ slot_name: string }>(
        `select slot_name from pg_catalog.pg_replication_slots
         where database = pg_catalog.current_database() and (slot_name = $1 or slot_name ~ $2)`,
        [name, subscription ? `^pg_${Number(subscription)}_sync_[0-9]+_[0-9]+$` : '^$'],
      );
      for (const { slot_name } of rows) {
        await owner.query('select from pg_catalog.pg_drop_replication_slot($1)', [slot_name]);
      }
      return;
    } catch (error) {
      const code = sqlStateOf(error);
      // 55006: a reader still uses it. 42704: another call has dropped it.
      if ((code !== '55006' && code !== '42704') || tries === 40) throw error;
      if (code === '55006') await delay(50);
    }
  }
}
