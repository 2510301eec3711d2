/**
 * The right to change one cell's proxy, held in the registry.
 *
 * States:  free ──acquire──▶ held (token, expiry) ──release──▶ free
 *                            held ──expiry passes──▶ free to take over
 * Invariants: every acquisition has a fresh token; acquire, renew and release are single conditional updates, judged
 * by the registry's clock, so no two holders overlap and a holder learns of its loss at its next renewal.
 */
import { randomUUID } from 'node:crypto';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { ProxyLeaseLost } from './errors.ts';

/** Longer than one SDK call with its repetition, short enough that a dead holder is soon replaced: nobody can tell it from a slow one. */
const LEASE_SECONDS = 15;

export interface ProxyLease {
  /** @throws {ProxyLeaseLost} another holder may have begun. */
  renew(): Promise<void>;
  release(): Promise<void>;
}

/** Takes the lease of the cell's proxy; undefined while another session holds it. */
export async function acquireProxyLease(
  registry: RegistryExecutor,
  cellId: string,
): Promise<ProxyLease | undefined> {
  const holder = { cellId, token: randomUUID(), seconds: LEASE_SECONDS };
  const taken = await registry.query(
    `UPDATE cells SET proxy_lease_token = :token::uuid,
            proxy_lease_expires_at = clock_timestamp() + make_interval(secs => :seconds::int)
     WHERE cell_id = :cellId AND (proxy_lease_token IS NULL OR proxy_lease_expires_at < clock_timestamp())
     RETURNING cell_id`,
    holder,
  );
  if (taken.length === 0) return undefined;
  return {
    async renew() {
      const kept = await registry.query(
        `UPDATE cells SET proxy_lease_expires_at = clock_timestamp() + make_interval(secs => :seconds::int)
         WHERE cell_id = :cellId AND proxy_lease_token = :token::uuid
           AND proxy_lease_expires_at >= clock_timestamp()
         RETURNING cell_id`,
        holder,
      );
      if (kept.length === 0) throw new ProxyLeaseLost();
    },
    async release() {
      await registry.query(
        `UPDATE cells SET proxy_lease_token = NULL, proxy_lease_expires_at = NULL
         WHERE cell_id = :cellId AND proxy_lease_token = :token::uuid`,
        { cellId, token: holder.token },
      );
    },
  };
}
