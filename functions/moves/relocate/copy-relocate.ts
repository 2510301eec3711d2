import { setTimeout as delay } from 'node:timers/promises';
import type { BothSides } from '../../database/transfer/claim.ts';
import { ReplicationLost } from '../../database/transfer/errors.ts';
import { slotLag } from '../../database/transfer/replication/slot.ts';
import {
  copiedSize,
  type SyncState,
  schemaSize,
  syncState,
} from '../../database/transfer/replication/sync-state.ts';
import { type HopContext, type PhaseOutcome, replicationName } from '../hop.ts';
import { buildingLateKeys, type LateKeys } from './late-keys.ts';
import { onBothSides, refuseFailures, reportingBrokenReplication, resumeReplication } from './replication.ts';

/** A key must be requested while the copy of its table runs, which takes several times as long. */
const POLL_MS = 100;
/** Sizes cost more to read. */
const REPORT_MS = 1_000;

/**
 * Lets PostgreSQL copy the tables, watches it, and builds the keys of large tables behind their copies. The connections that
 * build them are open before the first copy begins.
 * @throws {ReplicationBroken | ClaimLost | AttemptBusy}
 */
export function copyRelocate(context: HopContext): Promise<PhaseOutcome> {
  return reportingBrokenReplication(() =>
    onBothSides(context.hop, (sides) =>
      buildingLateKeys(context.hop, sides.target, async (keys) => {
        await startCopies(sides, context);
        return watchCopies(sides, context, keys);
      }),
    ),
  );
}

/** Once everything is copied, a later phase suspends the subscription: a repeated copy must not resume it. */
async function startCopies(sides: BothSides, { hop }: HopContext): Promise<void> {
  if (!isCopied(await syncState(sides.target, replicationName(hop)))) await resumeReplication(sides, hop);
}

async function watchCopies(sides: BothSides, context: HopContext, keys: LateKeys): Promise<PhaseOutcome> {
  let reportAt = 0;
  for (;;) {
    const done = await hasCopied(sides, context, keys);
    if (done || performance.now() >= reportAt) {
      const arrived = await report(sides, context, done);
      if (done) {
        await context.keep({ copiedRows: arrived.rows, copiedBytes: arrived.bytes });
        return { done };
      }
      reportAt = performance.now() + REPORT_MS;
    }
    if (performance.now() + POLL_MS > context.deadline) return { done };
    await delay(POLL_MS);
  }
}

/** Whether all tables are past their first copy, and have their keys. @throws {ReplicationLost} */
async function hasCopied(
  { source, target }: BothSides,
  context: HopContext,
  keys: LateKeys,
): Promise<boolean> {
  const name = replicationName(context.hop);
  const { tables, late } = await keys.tend();
  const state = await syncState(target, name);
  if (!late) refuseFailures(state, context.kept);
  else if (state?.failures !== context.kept.forgivenFailures)
    await context.keep({ forgivenFailures: state?.failures });
  if (!(await slotLag(source, name))) throw new ReplicationLost('there is no slot');
  return isCopied(state) && tables === 0;
}

const isCopied = (state: SyncState | undefined) => state !== undefined && state.copied === state.tables;

/** @throws {MoveAborted} */
async function report({ source, target }: BothSides, context: HopContext, done: boolean) {
  const { hop } = context;
  const arrived = await copiedSize(target, replicationName(hop), hop.target.schemaName);
  const total = done ? arrived : await schemaSize(source, hop.source.schemaName);
  await context.progress({
    rowsDone: arrived.rows,
    rowsTotal: Math.max(arrived.rows, total.rows),
    bytesDone: arrived.bytes,
    bytesTotal: Math.max(arrived.bytes, total.bytes),
  });
  return arrived;
}
