import type { FenceDetail, TransactionConflict } from '../errors.ts';
import type { DatabaseAddress, DatabasePools } from './pools.ts';
import { isConnectionLost, sqlStateOf } from './sql-state.ts';
import type { TenantEntry } from './tenant-session.ts';

/**
 * Removes a fence whose attempt is dead. The database checks by its own clock and the token whether this fence has
 * expired; a call that is too early, or a second call, changes nothing.
 */
export async function clearExpiredFence(
  pools: DatabasePools,
  address: DatabaseAddress,
  tenantId: string,
  { fenceToken }: FenceDetail,
): Promise<void> {
  if (!fenceToken) return;
  const client = await pools.connect(address);
  try {
    await client.query('SELECT tenancy.clear_fence($1, $2)', [tenantId, fenceToken]);
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** PostgreSQL had no room for another lock (53200, "out of shared memory"): every tenant of the server is affected. */
export function isLockTableFull({ cause }: TransactionConflict): boolean {
  return sqlStateOf(cause) === '53200';
}

/** Ends the sessions of requests that hold hundreds of locks. A needless call changes nothing. */
export async function relieveLockTable(pools: DatabasePools, address: DatabaseAddress): Promise<void> {
  const client = await pools.connect(address);
  try {
    await client.query('SELECT tenancy.relieve_lock_table()');
    client.release();
  } catch (error) {
    // A connection that still works is kept: while the table is full, no other can be opened.
    client.release(isConnectionLost(error));
    throw error;
  }
}

/**
 * Counts a request that was repeated because its tenant was being moved, after it has succeeded. A transaction of its
 * own, separate from the request.
 */
export async function noteRetry(
  pools: DatabasePools,
  address: DatabaseAddress,
  { tenantId, epoch }: TenantEntry,
): Promise<void> {
  const client = await pools.connect(address);
  try {
    await client.query('SELECT tenancy.note_retry($1, $2)', [tenantId, epoch]);
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}
