import { sql } from 'kysely';
import { dropCredentials } from '../places/place-resources.ts';
import type { DataApi } from '../registry/data-api.ts';
import { jsonValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { HopNotCommitted, MoveOvertaken } from './errors.ts';
import { findHop, setHopState } from './move-records.ts';
import { cleanUpRelocate } from './relocate/clean-up-relocate.ts';
import { cleanUpReshape } from './reshape/clean-up-reshape.ts';

export interface CleanUp {
  readonly done: boolean;
  /** The place was a dedicated database, which is to be deleted as a whole. */
  readonly database: boolean;
  /** When that may begin, RFC 3339. */
  readonly keepUntil: string;
}

const MS_PER_DAY = 24 * 60 * 60_000;

/**
 * Drops what the tenant left at the place that a settled hop took it away from, last the secret of its role there.
 * Called until it is done. Of a dedicated database the hop is cleaned when `deleteLeftDatabase` is done with it.
 * @param keepDays how long a dedicated database is kept from now on.
 * @param deadline on `performance.now()`'s clock.
 * @throws {HopNotCommitted} the hop is not settled; a hop whose sides differ never is.
 */
export async function cleanUpHop(
  registry: Pick<DataApi, 'query'>,
  { moveId, hopIndex }: { moveId: string; hopIndex: number },
  { deadline, keepDays }: { deadline: number; keepDays: number },
): Promise<CleanUp> {
  const hop = await findHop(registry, moveId, hopIndex);
  if (!hop) throw new MoveOvertaken();
  const now = new Date().toISOString();
  if (hop.state === 'cleaned') return { done: true, database: false, keepUntil: now };
  if (hop.state !== 'settled') throw new HopNotCommitted();
  const { kind, source, attempt } = hop;
  const database = source.isolationModel === 'dedicated';
  const since = hop.result.cleanedAt;
  if (database && typeof since === 'string')
    return { done: true, database, keepUntil: after(since, keepDays) };
  const { done } = await (kind === 'reshape'
    ? cleanUpReshape(hop, deadline)
    : cleanUpRelocate(hop, deadline));
  if (!done) return { done, database, keepUntil: now };
  if (database) {
    await noteCleaned(registry, hop, now);
    return { done, database, keepUntil: after(now, keepDays) };
  }
  // The tenant cannot have come back to it: no other attempt uses its names.
  await dropCredentials(source, attempt.tenantId);
  await setHopState(registry, hop, ['settled'], 'cleaned');
  return { done, database, keepUntil: now };
}

const after = (since: string, days: number): string =>
  new Date(Date.parse(since) + days * MS_PER_DAY).toISOString();

/** A clean-up that is started anew must not look into a database that is being deleted. */
async function noteCleaned(
  registry: Pick<DataApi, 'query'>,
  { moveId, index }: { readonly moveId: string; readonly index: number },
  cleanedAt: string,
): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ result: sql`result || ${jsonValue({ cleanedAt })}`, updated_at: now })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .where('state', '=', 'settled')
    .where(sql<boolean>`result -> 'cleanedAt' is null`)
    .execute();
}
