import type { TransactionConflict } from '../errors.ts';
import type { DatabaseAddress, DatabasePools } from './pools.ts';
import { isConnectionLost, sqlStateOf } from './sql-state.ts';

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
