/**
 * Bounds how much of a container one tenant's waiting requests can use.
 *
 * States of a tenant, for reads and for writes apart: open ──a request waited until its deadline──▶ stuck ──one succeeds, or
 * `STUCK_FOR_MS` after the last refusal──▶ open
 * Invariants: at most `MAX_WAITING` requests of a tenant wait at once, and none while it is stuck; a request that may
 * not wait is tried once first, so a tenant that is no longer blocked is served at once. In Lambda a container runs one
 * request at a time. There the state `stuck` keeps one tenant's requests from blocking one container after the other.
 */
import { LRUCache } from 'lru-cache';

const MAX_WAITING = 30;
const STUCK_FOR_MS = 5_000;
const MAX_STUCK_TENANTS = 1_000;

export class TenantBulkhead {
  readonly #waiting = new Map<string, number>();
  readonly #stuck = new LRUCache<string, true>({ max: MAX_STUCK_TENANTS, ttl: STUCK_FOR_MS });

  /** Whether one more request may wait; if so, `leave` must follow. */
  join(key: string): boolean {
    const waiting = this.#waiting.get(key) ?? 0;
    if (this.#stuck.has(key)) {
      this.waitedInVain(key);
      return false;
    }
    if (waiting >= MAX_WAITING) return false;
    this.#waiting.set(key, waiting + 1);
    return true;
  }

  leave(key: string): void {
    const waiting = (this.#waiting.get(key) ?? 1) - 1;
    if (waiting > 0) this.#waiting.set(key, waiting);
    else this.#waiting.delete(key);
  }

  waitedInVain(key: string): void {
    this.#stuck.set(key, true);
  }

  succeeded(key: string): void {
    this.#stuck.delete(key);
  }
}
