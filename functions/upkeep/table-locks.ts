/**
 * Exclusive locks on tables that every request of a cell uses. While a session waits for such a lock, every later request
 * waits behind it. So each try is short, and requests get some time between two tries.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { TablesBusy } from './errors.ts';

export interface LockPatience {
  /** How long one try waits, and requests behind it, milliseconds. */
  readonly lockTimeoutMs: number;
  /** How long to keep trying, milliseconds. */
  readonly patienceMs: number;
}

export const LOCK_PATIENCE: LockPatience = { lockTimeoutMs: 300, patienceMs: 60_000 };

/** Longest pause between two tries, milliseconds; `inTransaction` allows a transaction to be idle for longer. */
const PAUSE_MS = 1_000;
/** Lock timeout, deadlock. */
const BUSY = new Set(['55P03', '40P01']);

export const isBusy = (error: unknown): boolean => BUSY.has(sqlStateOf(error) ?? '');

/**
 * Locks the tables in ACCESS EXCLUSIVE mode until the open transaction ends. What the transaction has done before stays
 * done while it tries.
 * @param tables qualified and quoted names, a partitioned table before its partitions; partitions are not included.
 * @throws {TablesBusy}
 */
export async function lockTables(
  owner: pg.ClientBase,
  tables: readonly string[],
  { lockTimeoutMs, patienceMs }: LockPatience,
): Promise<void> {
  const list = tables.map((table) => `ONLY ${table}`).join(', ');
  const deadline = performance.now() + patienceMs;
  for (;;) {
    await owner.query('SAVEPOINT locking');
    try {
      await owner.query(
        `SET LOCAL lock_timeout = '${Math.round(lockTimeoutMs)}ms';
         LOCK TABLE ${list} IN ACCESS EXCLUSIVE MODE; RELEASE SAVEPOINT locking`,
      );
      return;
    } catch (error) {
      if (!isBusy(error)) throw error;
      await owner.query('ROLLBACK TO SAVEPOINT locking');
      const pause = Math.min(PAUSE_MS, patienceMs / 4) * (0.5 + Math.random() / 2);
      if (performance.now() + pause > deadline) throw new TablesBusy({ cause: error });
      await delay(pause);
    }
  }
}

/**
 * Keeps vacuum away from a table until the open transaction ends; reads and writes continue. An autovacuum that is at work
 * gives way to a waiting lock only after a second, which the short tries of `lockTables` never wait.
 * @throws {TablesBusy}
 */
export async function keepVacuumAway(owner: pg.ClientBase, table: string): Promise<void> {
  try {
    await owner.query(`LOCK TABLE ONLY ${table} IN SHARE UPDATE EXCLUSIVE MODE`);
  } catch (error) {
    throw isBusy(error) ? new TablesBusy({ cause: error }) : error;
  }
}
