/**
 * The end of what is cached of a hop's source, where that is not what later reads must find: a restore replaces rows, and
 * writes after a move to another region go to another region's cache. (Any other move copies the rows, and each later write
 * removes the former place's keys of what it changes.)
 *
 *   closed ──cut-over──▶ committed ── … ──▶ closed again, or values expired ──▶ settled
 *
 * Closed before the commit, no read that begins after the commit finds a former value. The second time is for a cut-over
 * that could not reach the cache, or that was frozen for longer than the place stays closed. So the end of a restore is
 * reported only when no container can answer from the former values any more, whatever it has of registry and database.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { TenantCache } from '../tenant-data/tenant-cache.ts';
import { type Hop, leavesRegion } from './hop.ts';

/** The caches of the region of a hop's source; `CachePool` has this form. */
export interface SourceCaches {
  of(tenantId: string): { readonly cache: Pick<TenantCache, 'close' | 'valueMs'> };
}

/** Closes the source before the hop is committed. It opens again by itself, also when the hop is not committed. */
export async function closeFormerValues(caches: SourceCaches | undefined, hop: Hop): Promise<void> {
  if (caches && leavesOtherValues(hop)) await close(caches, hop);
}

/** Returns when none of the values that were cached at the source of a committed hop is used any more. */
export async function endFormerValues(caches: SourceCaches | undefined, hop: Hop): Promise<void> {
  if (!caches || !leavesOtherValues(hop) || (await close(caches, hop))) return;
  await delay(caches.of(hop.attempt.tenantId).cache.valueMs);
}

function leavesOtherValues(hop: Hop): boolean {
  return hop.filling !== undefined || leavesRegion(hop);
}

function close(caches: SourceCaches, { attempt, source }: Hop): Promise<boolean> {
  const { tenantId, attemptId } = attempt;
  return caches.of(tenantId).cache.close({ tenantId, epoch: source.epoch }, attemptId);
}
