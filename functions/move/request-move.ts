import { randomUUID } from 'node:crypto';
import type { AuditActor } from '../database/registry/control-audit.ts';
import type { DataApi } from '../database/registry/data-api.ts';
import { draftMove, requireAllowed } from './draft-move.ts';
import { endMove } from './end-move.ts';
import { MoveNotStarted, TenantNotMovable } from './errors.ts';
import { insertMove } from './insert-move.ts';
import { type MoveInput, type MoveTarget, writeMoveInput } from './move-target.ts';
import { boundTransaction, findMovingTenant } from './moving-tenant.ts';
import type { Regions } from './regions.ts';
import { executionArnOf } from './workflow-executions.ts';

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
}

/**
 * Asks for a move: it is recorded first, under the name that its execution will have, and started then. An execution
 * that finds its row ended, because the answer to its start was lost, ends as well.
 * @returns the move's id.
 * @throws {TenantNotMovable | MoveInProgress | NothingToMove | MoveForbidden | InvalidMoveInput} nothing was changed.
 * @throws {MoveNotStarted} the move is recorded as failed.
 */
export async function requestMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { tenantId, target, force }: AskedMove,
  { actor, startedBy, stateMachineArn, start, regions }: RequestMoveOptions,
): Promise<string> {
  const moveId = randomUUID();
  const name = `move-${moveId}`;
  const input: MoveInput = { tenant: tenantId, target, force, moveId, startedBy };
  await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await findMovingTenant(transaction, tenantId, { lock: true });
    if (!tenant) throw new TenantNotMovable('The tenant is not known.');
    const draft = await draftMove(transaction, tenant, target, { force, regions });
    requireAllowed(draft);
    const executionArn = executionArnOf(stateMachineArn, name);
    await insertMove(
      transaction,
      { moveId, tenantId, input, draft, executionArn, startedBy, phase: 'planned' },
      actor,
    );
  });
  try {
    await start(name, writeMoveInput(input));
  } catch (cause) {
    const error = new MoveNotStarted({ cause });
    await registry.transaction((transaction) =>
      endMove(transaction, { moveId, tenantId }, { status: 'failed', reason: error.message }, actor),
    );
    throw error;
  }
  return moveId;
}
