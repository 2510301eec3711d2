import { setTimeout as delay } from 'node:timers/promises';
import { type BothSides, claimed, claimedAtTarget } from '../../database/transfer/claim.ts';
import { ReplicationLost } from '../../database/transfer/errors.ts';
import { awaitMarker, markRehearsal } from '../../database/transfer/replication/marker.ts';
import { slotLag } from '../../database/transfer/replication/slot.ts';
import { syncState } from '../../database/transfer/replication/sync-state.ts';
import { placeCanary, removeCanary } from '../../database/transfer/target-placement.ts';
import { verifyPlace } from '../../places/place-database.ts';
import { type Hop, type HopContext, type PhaseOutcome, replicationName } from '../hop.ts';
import { pauseBudget } from '../pause-budget.ts';
import { summarizeTarget } from '../summarize-target.ts';
import { onBothSides, refuseFailures, reportingBrokenReplication, resumeReplication } from './replication.ts';

/** With a larger lag a rehearsal would fail anyway. */
const SMALL_LAG_BYTES = 16 * 1024 ** 2;
const REHEARSALS = 3;
/** A rehearsal that takes longer has failed; its marker is ignored. */
const PATIENCE_MS = 2_000;
const POLL_MS = 500;

/**
 * Waits until the target follows the source closely: every table is past its first copy, and markers arrive within the budget
 * of a pause, several times in a row. Then does at the target what the first request will do.
 * @throws {ReplicationBroken | TenantUnreachable | ClaimLost | AttemptBusy}
 */
export function catchUpRelocate(context: HopContext): Promise<PhaseOutcome> {
  const { hop, deadline } = context;
  let slowRehearsals = Number(context.kept.slowRehearsals ?? 0);
  return reportingBrokenReplication(() =>
    onBothSides(hop, async (sides) => {
      for (;;) {
        const lagBytes = await lagOf(sides, context);
        await context.progress(lagBytes === undefined ? {} : { lagBytes });
        if (lagBytes !== undefined && lagBytes <= SMALL_LAG_BYTES) {
          const { markerMs } = pauseBudget({ ...context.kept, slowRehearsals });
          if (await rehearse(sides, hop, markerMs)) break;
          slowRehearsals += 1;
          await context.keep({ slowRehearsals });
        }
        if (performance.now() + POLL_MS > deadline) return { done: false };
        await delay(POLL_MS);
      }
      await verifyTarget(sides, hop);
      await summarizeTarget(sides.target, hop);
      return { done: true };
    }),
  );
}

/**
 * What the target has not applied yet, in bytes of the source's log; undefined while a table is in its first copy. Resumes a
 * subscription that an interrupted run has left suspended.
 * @throws {ReplicationLost}
 */
export async function lagOf(
  sides: BothSides,
  { hop, kept }: Pick<HopContext, 'hop' | 'kept'>,
): Promise<number | undefined> {
  const name = replicationName(hop);
  await resumeReplication(sides, hop);
  const state = await syncState(sides.target, name);
  refuseFailures(state, kept);
  const lag = await slotLag(sides.source, name);
  if (!lag) throw new ReplicationLost('there is no slot');
  return state?.ready === state?.tables ? lag.bytes : undefined;
}

/** Whether markers arrive within the budget, several times in a row. */
async function rehearse({ source, target }: BothSides, hop: Hop, budgetMs: number): Promise<boolean> {
  for (let n = 0; n < REHEARSALS; n++) {
    const marker = await claimed(source, hop.attempt, () => markRehearsal(source, hop.source.schemaName));
    const since = performance.now();
    const arrived = await awaitMarker(target, hop.target.schemaName, marker, since + PATIENCE_MS);
    if (!arrived || performance.now() - since > budgetMs) return false;
  }
  return true;
}

/**
 * Does at the target what the first request will do. It enters as a canary: a tenant that does not exist, under the attempt's
 * id, so that no request can enter as the real one yet, and a frozen run does no harm when it continues.
 * @throws {TenantUnreachable} transient until the proxy accepts the secret.
 */
async function verifyTarget(sides: BothSides, { attempt, target }: Hop): Promise<void> {
  const { attemptId } = attempt;
  await claimedAtTarget(sides, attempt, () => placeCanary(sides.target, attemptId, target));
  try {
    await verifyPlace(target, { tenantId: attemptId, access: 'write' });
  } finally {
    await removeCanary(sides.target, attemptId);
  }
}
