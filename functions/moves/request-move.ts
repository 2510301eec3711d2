import { randomUUID } from 'node:crypto';
import { executionArnOf, inAwsRegion, startExecution } from '../aws/executions.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { draftMove, type MoveDraft, overriddenLimits, requireAllowed } from './draft-move.ts';
import { recordEnd } from './end-move.ts';
import { MoveInProgress, MoveNotAbortable, MoveNotStarted, TenantNotMovable } from './errors.ts';
import type { Regions } from './hop.ts';
import { findMove, findMovingTenant, type HopRecord, hopsOf, kindOf } from './move-records.ts';
import { countIfNotMetered, type SurveyOf } from './move-rules.ts';
import { type MoveInput, type MoveTarget, writeMoveInput } from './move-target.ts';

/** A request for a known tenant. */
export interface MoveAsked {
  readonly tenantId: string;
  readonly target: MoveTarget;
  readonly force: boolean;
}

export interface RequestMoveOptions {
  readonly actor: AuditActor;
  /** Who started it, for the report. */
  readonly startedBy: string;
  readonly stateMachineArn: string;
  /** Calls `StartExecution` of `tenant-move`. */
  readonly start: (name: string, input: object) => Promise<void>;
  readonly regions?: Regions | undefined;
  /** For a tenant that was never metered, when the target tier has limits. */
  readonly survey?: SurveyOf | undefined;
  /** For a request that the client may repeat. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Requests a move.
 * @returns the move's id.
 * @throws {TenantNotMovable | MoveInProgress | NothingToMove | MoveForbidden | InvalidMoveInput} nothing was changed.
 * @throws {MoveNotStarted} the move is recorded as failed, unless an earlier request recorded it.
 */
export async function requestMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { tenantId, target, force }: MoveAsked,
  { actor, startedBy, stateMachineArn, start, regions, survey, once }: RequestMoveOptions,
): Promise<string> {
  const newId = randomUUID();
  const inputOf = (moveId: string): MoveInput => ({ tenant: tenantId, target, force, moveId, startedBy });
  // It takes seconds, and must not run inside a transaction.
  const counted = await countIfNotMetered(registry, { tenant: tenantId, target, force }, survey);
  return recordAndStart(registry, once, {
    newId,
    lock: async (transaction) => {
      const tenant = await findMovingTenant(transaction, tenantId, { lock: true });
      if (!tenant) throw new TenantNotMovable('The tenant is not known.');
      return tenant;
    },
    find: findMove,
    record: async (transaction, tenant) => {
      const draft = await draftMove(transaction, tenant, target, { force, counted, regions });
      requireAllowed(draft);
      const executionArn = executionArnOf(stateMachineArn, nameOf(newId));
      const input = inputOf(newId);
      await insertMove(
        transaction,
        { moveId: newId, tenantId, input, draft, executionArn, startedBy, phase: 'planned' },
        actor,
      );
    },
    start: (moveId) => start(nameOf(moveId), writeMoveInput(inputOf(moveId))),
    notStarted: (options) => new MoveNotStarted(options),
    giveUp: (transaction, reason) =>
      recordEnd(transaction, { moveId: newId, tenantId }, { status: 'failed', reason }, actor),
  });
}

const nameOf = (moveId: string) => `move-${moveId}`;

export interface NewMove {
  readonly moveId: string;
  readonly tenantId: string;
  readonly input: MoveInput;
  readonly draft: MoveDraft;
  readonly executionArn: string;
  readonly startedBy: string;
  /** `planned` until the execution has begun. */
  readonly phase: 'planned' | 'begun';
}

/** Records a running move, with its line in the audit log. @throws {MoveInProgress} the tenant has one. */
export async function insertMove(
  transaction: RegistryExecutor,
  { moveId, tenantId, input, draft, executionArn, startedBy, phase }: NewMove,
  actor: AuditActor,
): Promise<void> {
  try {
    await registrySql(transaction)
      .insertInto('tenant_moves')
      .values({
        move_id: moveId,
        tenant_id: tenantId,
        phase,
        input: writeMoveInput(input),
        plan: draft.plan,
        execution_arn: executionArn,
        started_by: startedBy,
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_move`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new MoveInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'move.start',
    tenantId,
    resource: { type: 'move', id: moveId },
    data: { target: input.target, force: input.force, overridden: overriddenLimits(draft), startedBy },
  });
}

/**
 * Starts the move to a tier, within its limits, with the state machine of MOVE_STATE_MACHINE_ARN, or the one of the
 * same name in `awsRegion`.
 * @returns the move's id.
 * @throws {MoveError} it cannot start.
 */
export function startTierMove(
  registry: DataApi,
  { tenantId, targetTier }: { tenantId: string; targetTier: 'business' | 'enterprise' },
  {
    actor,
    startedBy,
    awsRegion,
    survey,
  }: { actor: AuditActor; startedBy: string; awsRegion?: string | undefined; survey?: SurveyOf },
): Promise<string> {
  const { MOVE_STATE_MACHINE_ARN } = process.env;
  if (!MOVE_STATE_MACHINE_ARN) throw new Error('environment variable MOVE_STATE_MACHINE_ARN is missing');
  const stateMachineArn = inAwsRegion(MOVE_STATE_MACHINE_ARN, awsRegion);
  return requestMove(
    registry,
    { tenantId, target: { tier: targetTier }, force: false },
    {
      actor,
      startedBy,
      stateMachineArn,
      survey,
      start: (name, input) => startExecution(stateMachineArn, name, input),
    },
  );
}

/** As far as the registry knows. */
const isCommitted = ({ state }: Pick<HopRecord, 'state'>) => state !== 'working' && state !== 'rolling-back';

/**
 * Requests a move to stop. Its phases see the request before the commit point of their hop, and roll that hop back.
 * Repeating it changes nothing.
 * @returns false when the tenant has no such move.
 * @throws {MoveNotAbortable} it has ended, or its last hop is committed.
 */
export function abortMove(
  registry: Pick<DataApi, 'transaction'>,
  { tenantId, moveId, operator }: { tenantId: string; moveId: string; operator: string },
): Promise<boolean> {
  return registry.transaction(async (transaction) => {
    const move = await findMove(transaction, moveId, { lock: true });
    if (!move || move.tenantId !== tenantId) return false;
    if (move.status !== 'running') throw new MoveNotAbortable('The move has ended already.');
    const hops = await hopsOf(transaction, moveId);
    const last = hops.find(({ index }) => index === move.plan.length - 1);
    if (hops.some((hop) => hop.filling && isCommitted(hop))) {
      throw new MoveNotAbortable('The rows are restored already; undo the restore once it has ended.');
    }
    if (last && isCommitted(last)) {
      throw new MoveNotAbortable('The tenant has moved already; ask for a move back.');
    }
    if (move.abortRequested) return true;
    await registrySql(transaction)
      .updateTable('tenant_moves')
      .set({ abort_requested_at: now, abort_requested_by: operator, updated_at: now })
      .where('move_id', '=', moveId)
      .execute();
    await recordAudit(transaction, {
      actor: { id: operator, type: 'operator' },
      action: `${kindOf(move)}.abort`,
      tenantId,
      resource: { type: kindOf(move), id: moveId },
      data: {},
    });
    return true;
  });
}
