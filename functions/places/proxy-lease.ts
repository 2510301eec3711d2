/**
 * The right to change one cell's proxy, held in the registry.
 *
 * States:  free ──acquire──▶ held (token, expiry) ──release──▶ free
 *                            held ──expiry passes──▶ free to take over
 *
 * Invariants: every acquisition has a fresh token; acquire, renew and release are single conditional updates by the
 * registry's clock, so no two holders overlap, and a holder learns of its loss at its next renewal.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { ProxyLeaseLost } from './errors.ts';

/**
 * Longer than one SDK call with its repetition, and short enough that a dead holder is soon replaced: it cannot be told
 * from a slow one.
 */
const LEASE_SECONDS = 15;

const clock = sql<TimeWithoutZone>`clock_timestamp()`;
const leaseEnd = sql<TimeWithoutZone>`clock_timestamp() + make_interval(secs => ${sql.lit(LEASE_SECONDS)})`;

export interface ProxyLease {
  /** @throws {ProxyLeaseLost} another holder may have started. */
  renew(): Promise<void>;
  release(): Promise<void>;
}

/** Takes the lease of the cell's proxy; undefined while another session holds it. */
export async function acquireProxyLease(
  registry: RegistryExecutor,
  cellId: string,
): Promise<ProxyLease | undefined> {
  const token = randomUUID();
  const db = registrySql(registry);
  const taken = await db
    .updateTable('cells')
    .set({ proxy_lease_token: token, proxy_lease_expires_at: leaseEnd })
    .where('cell_id', '=', cellId)
    .where((eb) => eb.or([eb('proxy_lease_token', 'is', null), eb('proxy_lease_expires_at', '<', clock)]))
    .returning('cell_id')
    .execute();
  if (taken.length === 0) return undefined;
  return {
    async renew() {
      const kept = await db
        .updateTable('cells')
        .set({ proxy_lease_expires_at: leaseEnd })
        .where('cell_id', '=', cellId)
        .where('proxy_lease_token', '=', token)
        .where('proxy_lease_expires_at', '>=', clock)
        .returning('cell_id')
        .execute();
      if (kept.length === 0) throw new ProxyLeaseLost();
    },
    async release() {
      await db
        .updateTable('cells')
        .set({ proxy_lease_token: null, proxy_lease_expires_at: null })
        .where('cell_id', '=', cellId)
        .where('proxy_lease_token', '=', token)
        .execute();
    },
  };
}
