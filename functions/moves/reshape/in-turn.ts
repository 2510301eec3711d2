import type pg from 'pg';
import { movedTablesAt, type Side, type Sides } from '../../database/transfer/reshape/sides.ts';
import { takeTurn } from '../../database/transfer/reshape/turn.ts';
import {
  asOwnerOf,
  type Hop,
  type Place,
  type StepContext,
  type StepOutcome,
  schemaVersionOf,
} from '../hop.ts';

/** Longest time that a transaction with one snapshot of the source may take: a task ends after 15 minutes. */
export const SNAPSHOT_SECONDS = 800;

/**
 * Runs a step on a session that has the turn among the steps of this tenant. Where the turn does not come in time, the
 * step has not begun, and is called again.
 */
export function inTurn(
  context: StepContext,
  cursor: unknown,
  work: (owner: pg.Client) => Promise<StepOutcome>,
): Promise<StepOutcome> {
  return asOwnerOf(context.hop.source, async (owner) => {
    const mine = await takeTurn(owner, context.hop.attempt, context.deadline);
    if (mine) return work(owner);
    return { done: false, ...(cursor === undefined ? {} : { cursor }) };
  });
}

/** The two places of a reshape as its statements name them. */
export function sidesOf(hop: Hop): Sides {
  const { tenantId, attemptId } = hop.attempt;
  const tables = movedTablesAt(schemaVersionOf(hop));
  return { tenantId, attemptId, source: sideOf(hop.source), target: sideOf(hop.target), tables };
}

function sideOf({ isolationModel, schemaName }: Place): Side {
  return { model: isolationModel === 'shared' ? 'shared' : 'isolated', schema: schemaName };
}
