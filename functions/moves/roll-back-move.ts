import type { DataApi } from '../registry/data-api.ts';
import { MoveAborted, MoveMismatch, MoveOvertaken } from './errors.ts';
import { type MoveFailure, reasonOf } from './failure-reason.ts';
import { findMove, type MoveStatus } from './move-records.ts';
import type { Regions } from './regions.ts';
import { unwindMove } from './unwind-move.ts';

export type { MoveFailure } from './failure-reason.ts';

export interface RolledBack {
  /** `succeeded` where only the answer of the last step was lost. */
  readonly outcome: Exclude<MoveStatus, 'running'>;
  /** Fit for a client. */
  readonly reason: string;
}

// Of instances: the bundle renames the classes, and their own `name` with them.
const ABORTED = new MoveAborted().name;
const MISMATCH = new MoveMismatch().name;

/**
 * The workflow's answer to a failed step: what is committed is settled, never rolled back; what is not is rolled back;
 * the move ends as `aborted` where that was asked for, and as `failed` otherwise. Does nothing where it has ended.
 * @throws whatever kept it from being done; it can be called again.
 */
export async function rollBackMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  moveId: string,
  failure: MoveFailure,
  regions?: Regions,
): Promise<RolledBack> {
  const move = await findMove(registry, moveId);
  if (!move) throw new MoveOvertaken();
  if (move.status !== 'running') {
    return { outcome: move.status, reason: move.reason ?? 'The move has ended already.' };
  }
  const reason = reasonOf(failure);
  const { status, reason: told } = await unwindMove(registry, move, {
    end: { status: failure.Error === ABORTED ? 'aborted' : 'failed', reason },
    mismatch: failure.Error === MISMATCH,
    actor: { id: move.executionArn ?? moveId, type: 'workflow' },
    ...(regions ? { regions } : {}),
  });
  return { outcome: status, reason: told };
}
