import type pg from 'pg';
import { exclusively, releaseClaim } from '../database/transfer/claim.ts';
import { readPlacement } from '../database/transfer/fence.ts';
import { retriedRequests } from '../database/transfer/retried-requests.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { HopNotCommitted } from './errors.ts';
import { followHop } from './follow-hop.ts';
import { asOwnerOf, type Hop } from './hop.ts';
import { showsCommit } from './hop-commit.ts';
import { hopsOf, isSettled, setHopState } from './move-records.ts';
import type { Regions } from './regions.ts';
import { finalizeRelocate } from './relocate/finalize-relocate.ts';

/**
 * What follows a commit: what the attempt needed is dropped, the registry follows, the tenant is given free. Each may
 * be cut off and done again, in this order: a hop that is `settled` holds no claim any more, and one whose claim is
 * given back needs nothing more of it.
 * @throws {HopNotCommitted} the database that the tenant left does not say so.
 * @throws {ClaimLost | MoverBusy} and the driver's errors.
 */
export async function settleHop(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { hop }: { readonly hop: Hop },
  regions?: Regions,
): Promise<void> {
  if (await settledAlready(registry, hop)) return;
  const { attempt, source, kind } = hop;
  await asOwnerOf(source, async (owner) => {
    const placement = await readPlacement(owner, attempt.tenantId);
    if (!showsCommit(placement, hop)) throw new HopNotCommitted();
    const claimed = placement?.mover === attempt.attemptId;
    // A step before the flip that was delivered twice may still be open, and would make anew what is dropped here. It
    // ends first, and after the flip no other one begins.
    if (claimed) await exclusively(owner, attempt, async () => {});
    if (kind === 'relocate' && claimed) await finalizeRelocate(hop);
    await followHop(registry, hop, { facts: { retried: await retriesAround(owner, hop) }, regions });
    await releaseClaim(owner, attempt);
  });
  await setHopState(registry, hop, ['working', 'committed', 'rolling-back'], 'settled');
}

/** How many requests were run again at each side, for the move's report. */
export interface Retried {
  readonly source: number;
  readonly target: number;
}

async function retriesAround(owner: pg.Client, { attempt, kind, source, target }: Hop): Promise<Retried> {
  const { tenantId } = attempt;
  const atTarget = (database: pg.Client) => retriedRequests(database, tenantId, [target.epoch]);
  return {
    source: await retriedRequests(owner, tenantId, [source.epoch]),
    target: kind === 'reshape' ? await atTarget(owner) : await asOwnerOf(target, atTarget),
  };
}

async function settledAlready(registry: RegistryExecutor, { moveId, index }: Hop): Promise<boolean> {
  const hop = (await hopsOf(registry, moveId)).find((each) => each.index === index);
  return hop !== undefined && isSettled(hop);
}
