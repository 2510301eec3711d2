import type { FenceDetail, TransactionConflict } from '../errors.ts';
import type { DatabaseAddress, DatabasePools } from './pools.ts';
import { isConnectionLost, sqlStateOf } from './sql-state.ts';
import type { TenantEntry } from './tenant-session.ts';

/**
 * Removes a fence whose mover is dead. The database decides by its own clock and by the token whether the fence is
 * the expired one; calling this too early, or twice, changes nothing.
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

/** Ends the sessions of requests that hold hundreds of locks. Calling it in vain changes nothing. */
export async function relieveLockTable(pools: DatabasePools, address: DatabaseAddress): Promise<void> {
  const client = await pools.connect(address);
  try {
    await client.query('SELECT tenancy.relieve_lock_table()');
    client.release();
  } catch (error) {
    // One that is not broken is kept: while the table is full, no other can be opened.
    client.release(isConnectionLost(error));
    throw error;
  }
}

/**
 * Counts a request that was run again because its tenant was being moved, where it succeeded at last. A transaction of
 * its own: nothing of it is part of the request.
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
