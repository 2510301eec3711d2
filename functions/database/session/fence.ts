import type { FenceDetail } from '../errors.ts';
import type { DatabaseAddress, DatabasePools } from './pools.ts';

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
