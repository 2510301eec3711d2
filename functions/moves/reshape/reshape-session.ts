import type pg from 'pg';
import { lockAttemptSession } from '../../database/transfer/reshape/attempt-session.ts';
import { movedTablesAt, type Side, type Sides } from '../../database/transfer/reshape/sides.ts';
import { type Place, tablesVersionOf } from '../../places/place.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import type { Hop, HopContext, PhaseOutcome } from '../hop.ts';

/** Longest time that a transaction with one snapshot of the source may take: a Lambda function ends after 15 minutes. */
export const SNAPSHOT_SECONDS = 800;

/**
 * Runs a phase on a session that has the tenant's session lock (see attempt-session.ts). Where the lock does not become free in
 * time, the phase has not begun, and is called again.
 */
export function inAttemptSession(
  context: HopContext,
  cursor: unknown,
  work: (owner: pg.Client) => Promise<PhaseOutcome>,
): Promise<PhaseOutcome> {
  return asOwnerOf(context.hop.source, async (owner) => {
    const locked = await lockAttemptSession(owner, context.hop.attempt, context.deadline);
    if (locked) return work(owner);
    return { done: false, ...(cursor === undefined ? {} : { cursor }) };
  });
}

/** The two places of a reshape as its statements name them. */
export function sidesOf(hop: Hop): Sides {
  const { tenantId, attemptId } = hop.attempt;
  const tables = movedTablesAt(tablesVersionOf(hop.target));
  return { tenantId, attemptId, source: sideOf(hop.source), target: sideOf(hop.target), tables };
}

function sideOf({ isolationModel, schemaName }: Place): Side {
  return { model: isolationModel === 'shared' ? 'shared' : 'isolated', schema: schemaName };
}
