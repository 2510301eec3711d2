import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { draftMove, requireAllowed } from './draft-move.ts';
import { endMove } from './end-move.ts';
import { MoveNotStarted, TenantNotMovable } from './errors.ts';
import { insertMove } from './insert-move.ts';
import { findMove } from './move-records.ts';
import { countIfNotMetered, type SurveyOf } from './move-rules.ts';
import { type MoveInput, type MoveTarget, writeMoveInput } from './move-target.ts';
import { findMovingTenant } from './moving-tenant.ts';
import type { Regions } from './regions.ts';

/** What is asked of a known tenant. */
export interface AskedMove {
  readonly tenantId: string;
  readonly target: MoveTarget;
  readonly force: boolean;
}

export interface RequestMoveOptions {
  readonly actor: AuditActor;
  /** Who the report says started it. */
  readonly startedBy: string;
  readonly stateMachineArn: string;
  /** `StartExecution` of `tenant-move`. */
  readonly start: (name: string, input: object) => Promise<void>;
  readonly regions?: Regions | undefined;
  /** For a tenant that was never metered, where the target tier has limits. */
  readonly survey?: SurveyOf | undefined;
  /** For a request that its client may send again. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Asks for a move: it is recorded first, under the name that its execution will have, and started then. An execution
 * that finds its row ended, because the answer to its start was lost, ends as well.
 *
 * A repeated request answers the move of the first one. It starts that move's execution again while the execution has
 * not begun: the process that recorded the move may have died before the start, and a second start under the name is
 * harmless.
 * @returns the move's id.
 * @throws {TenantNotMovable | MoveInProgress | NothingToMove | MoveForbidden | InvalidMoveInput} nothing was changed.
 * @throws {MoveNotStarted} the move is recorded as failed, unless an earlier request recorded it.
 */
export async function requestMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { tenantId, target, force }: AskedMove,
  { actor, startedBy, stateMachineArn, start, regions, survey, once }: RequestMoveOptions,
): Promise<string> {
  const newMoveId = randomUUID();
  const inputOf = (moveId: string): MoveInput => ({ tenant: tenantId, target, force, moveId, startedBy });
  // It takes seconds, and must not be held in a transaction.
  const counted = await countIfNotMetered(registry, { tenant: tenantId, target, force }, survey);
  const { moveId, begun } = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await findMovingTenant(transaction, tenantId, { lock: true });
    if (!tenant) throw new TenantNotMovable('The tenant is not known.');
    const known = await once?.find(transaction);
    if (known) {
      const move = await findMove(transaction, known);
      return { moveId: known, begun: move?.status !== 'running' || move.phase !== 'planned' };
    }
    const draft = await draftMove(transaction, tenant, target, { force, counted, regions });
    requireAllowed(draft);
    const executionArn = executionArnOf(stateMachineArn, nameOf(newMoveId));
    const input = inputOf(newMoveId);
    await insertMove(
      transaction,
      { moveId: newMoveId, tenantId, input, draft, executionArn, startedBy, phase: 'planned' },
      actor,
    );
    await once?.keep(transaction, newMoveId);
    return { moveId: newMoveId, begun: false };
  });
  if (begun) return moveId;
  try {
    await start(nameOf(moveId), writeMoveInput(inputOf(moveId)));
  } catch (cause) {
    // It has run, and may have ended: the record says how.
    if (moveId !== newMoveId && (cause as Error).name === 'ExecutionAlreadyExists') return moveId;
    const error = new MoveNotStarted({ cause });
    // The first request may have started it all the same, so only the first request gives it up.
    if (moveId === newMoveId) {
      await registry.transaction(async (transaction) => {
        await endMove(transaction, { moveId, tenantId }, { status: 'failed', reason: error.message }, actor);
        await once?.forget(transaction);
      });
    }
    throw error;
  }
  return moveId;
}

const nameOf = (moveId: string) => `move-${moveId}`;
