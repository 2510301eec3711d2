import type { DatabaseAddress, DatabasePools } from './pools.ts';
import type { TenantEntry } from './tenant-session.ts';

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
