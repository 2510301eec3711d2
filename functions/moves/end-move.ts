/**
 * The end of a move, for its workflow (all hops are settled, or a phase failed) and for recovery (the workflow is
 * dead). `endMove` is the only way in which a begun move ends.
 *
 *   running ──every hop of the plan is settled──▶ succeeded, even if the workflow failed or an abort was requested
 *           ──stopped, some hop is not settled──▶ failed or aborted: the tenant stays at its last settled target
 *
 * The hop that is open when a move is stopped:
 *
 *   working, committed ──the source's row shows the commit──▶ compared ──▶ settled
 *                      ──it does not──▶ rolling-back ──claim revoked, objects dropped──▶ rolled-back
 *                      ──source and target differ──▶ mismatch: both are kept until an operator has resolved it
 *
 * Invariants:
 * - only the tenant's row in the source's database decides whether a hop is committed (`readCommit`). The roll back
 *   reads it again under the locks that exclude a commit, so a frozen function cannot commit after that check;
 * - a committed hop is settled, never rolled back; nothing is cleaned up before it was compared;
 * - the move ends last: a move that has ended has no open hop;
 * - each step may be interrupted and repeated, or run concurrently. A move that has ended stays as it is.
 */
import { sql } from 'kysely';
import { type CaughtError, reasonOfFailure, type VouchedErrors } from '../aws/caught-error.ts';
import { ClaimLost, MoveCommitted } from '../database/transfer/errors.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import * as placesErrors from '../places/errors.ts';
import { describePlace } from '../places/place.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { endLoss, serveClone } from '../registry/lost-tenants.ts';
import { parseJson } from '../registry/registry-column.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import * as errors from './errors.ts';
import { HopNotCommitted, MoveAborted, MoveMismatch, MoveOvertaken, MoveStepFailed } from './errors.ts';
import { type Hop, keepsRole, leavesRegion, type Regions, readCommit } from './hop.ts';
import { openPhaseOf } from './hop-context.ts';
import { compare } from './hop-phases.ts';
import {
  findMove,
  findMovingTenant,
  finishedPhases,
  type HopRecord,
  hopsOf,
  isOpen,
  isSettled,
  kindOf,
  type MoveRecord,
  type MoveStatus,
  type MovingTenant,
  setHopState,
} from './move-records.ts';
import { type FollowUpMove, type MoveReport, readReport, reportMove, retriedOfLast } from './move-report.ts';
import { limitsUnder } from './move-rules.ts';
import { readMoveInput } from './move-target.ts';
import type { FollowUp } from './other-region/follow-up-move.ts';
import { rollBackRelocate } from './relocate/roll-back-relocate.ts';
import { rollBackReshape } from './reshape/roll-back-reshape.ts';
import { followHop, type SettleOptions, settleHop } from './settle-hop.ts';

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/** How to end a move that its workflow does not finish. */
export interface Stopped {
  readonly status: Exclude<MoveStatus, 'running' | 'succeeded'>;
  /** May be shown to a client. */
  readonly reason: string;
  /** Source and target were found to differ. */
  readonly mismatch?: boolean;
}

export interface Ending extends SettleOptions {
  /** Recorded as the one who ended it; the move's workflow when absent. */
  readonly actor?: AuditActor | undefined;
  /** On `performance.now()`'s clock; the next call continues a comparison that is not done by then. */
  readonly deadline?: number | undefined;
}

/** Output of the execution of a successful move. */
export interface SucceededMove {
  readonly moveId: string;
  readonly tenantId: string;
  readonly status: 'succeeded';
  readonly report: MoveReport;
  /** The follow-up move in the target region, with its execution after that is started. */
  readonly followUp?: FollowUp & { readonly executionArn?: string };
}

export interface UnsuccessfulMove extends Pick<Stopped, 'status' | 'reason'> {
  readonly moveId: string;
  readonly tenantId: string;
}

const COMPARE_MS = 4 * 60_000;

/**
 * Ends a move: as succeeded when all hops of its plan are settled, otherwise as `stopped` says, after the open hop has
 * been settled or rolled back. Repeating it changes nothing.
 * @returns how the move has ended, in this call or before.
 * @throws {HopNotCommitted} without `stopped`: a hop is not settled.
 * @throws {MoveOvertaken} without `stopped`: the move has ended in another way.
 * @throws any error that interrupted it; call it again.
 */
export async function endMove(registry: Registry, moveId: string, ending?: Ending): Promise<SucceededMove>;
export async function endMove(
  registry: Registry,
  moveId: string,
  ending: Ending & { readonly stopped: Stopped },
): Promise<SucceededMove | UnsuccessfulMove>;
export async function endMove(
  registry: Registry,
  moveId: string,
  { stopped, actor, deadline, regions, caches }: Ending & { readonly stopped?: Stopped } = {},
): Promise<SucceededMove | UnsuccessfulMove> {
  const move = await findMove(registry, moveId);
  if (!move) throw new MoveOvertaken();
  const { tenantId, status, plan } = move;
  const endedBy = actor ?? { id: move.executionArn ?? moveId, type: 'workflow' as const };
  if (!stopped || status === 'succeeded') return succeed(registry, move, endedBy, regions);
  if (status !== 'running') {
    return { moveId, tenantId, status, reason: move.reason ?? 'The move has ended already.' };
  }
  const hops = await hopsOf(registry, moveId);
  const at = hops.findIndex(isOpen);
  const open = hops[at];
  if (open) {
    const differs = stopped.mismatch || open.result.mismatchAt !== undefined;
    const state = differs
      ? await keepBoth(registry, open, regions)
      : await settleOrRollBack(registry, move, open, {
          deadline: deadline ?? performance.now() + COMPARE_MS,
          regions,
          caches,
        });
    hops[at] = { ...open, state };
  }
  if (regions && plan.some(({ from, to }) => leavesRegion({ source: from, target: to }))) {
    const { cancelUnlessArrived } = await import('./other-region/announce-tenant.ts');
    await cancelUnlessArrived(regions, move, hops);
  }
  if (plan.length > 0 && hops.filter(isSettled).length === plan.length) {
    return succeed(registry, move, endedBy, regions);
  }
  const end: Stopped =
    open && hops[at]?.state === 'mismatch'
      ? { status: 'failed', reason: new MoveMismatch().message }
      : stopped;
  const reason = `${end.reason}${whereabouts(hops)}`;
  const isEnded = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    // A function of the stopped workflow may have opened a hop since these were read. It locks the move for that.
    await findMove(transaction, moveId, { lock: true });
    if ((await hopsOf(transaction, moveId)).some(isOpen)) return false;
    await recordEnd(transaction, { moveId, tenantId }, { status: end.status, reason }, endedBy);
    return true;
  });
  if (!isEnded) return endMove(registry, moveId, { stopped, actor, deadline, regions, caches });
  return { moveId, tenantId, status: end.status, reason };
}

/** Records that a move did not succeed, unless it has ended already. Also for moves whose workflow never began. */
export async function recordEnd(
  transaction: RegistryExecutor,
  { moveId, tenantId }: { readonly moveId: string; readonly tenantId: string },
  { status, reason }: Stopped,
  actor: AuditActor,
): Promise<void> {
  const ended = await registrySql(transaction)
    .updateTable('tenant_moves')
    .set({
      status,
      reason,
      phases: finishedPhases,
      current_pause_ms: null,
      finished_at: now,
      updated_at: now,
    })
    .where('move_id', '=', moveId)
    .where('status', '=', 'running')
    .returning('restore')
    .executeTakeFirst();
  if (!ended) return;
  const kind = kindOf(ended);
  await recordAudit(transaction, {
    actor,
    action: status === 'aborted' ? `${kind}.aborted` : `${kind}.fail`,
    tenantId,
    resource: { type: kind, id: moveId },
    data: { reason },
  });
}

// The open hop of a move that is stopped.

type ClosedState = Extract<HopRecord['state'], 'settled' | 'rolled-back' | 'mismatch'>;

async function settleOrRollBack(
  registry: Registry,
  move: MoveRecord,
  hop: HopRecord,
  { deadline, regions, caches }: SettleOptions & { readonly deadline: number },
): Promise<ClosedState> {
  const { committed } = await readCommit(hop);
  if (!committed && (await rollBack(registry, hop, regions))) return 'rolled-back';
  await followHop(registry, hop, { regions });
  try {
    await compareUnlessDone(registry, move, hop, deadline);
  } catch (error) {
    if (error instanceof MoveMismatch) return keepBoth(registry, hop, regions);
    throw error;
  }
  await settleHop(registry, { hop }, { regions, caches });
  return 'settled';
}

/** @returns false when a frozen function has committed the hop before its claim could be revoked. */
async function rollBack(registry: Registry, hop: HopRecord, regions: Regions | undefined): Promise<boolean> {
  await setHopState(registry, hop, ['working', 'committed', 'rolling-back'], 'rolling-back');
  try {
    await (hop.kind === 'reshape' ? rollBackReshape(hop) : rollBackRelocate(hop));
  } catch (error) {
    if (error instanceof MoveCommitted) return false;
    throw error;
  }
  if (!keepsRole(hop)) {
    const { dropCredentials } = await import('../places/place-resources.ts');
    const awsRegion = leavesRegion(hop) ? regions?.awsRegionOf(hop.target.region) : undefined;
    await dropCredentials(hop.target, hop.attempt.tenantId, awsRegion);
  }
  await setHopState(registry, hop, ['rolling-back'], 'rolled-back');
  return true;
}

/** The workflow's phases between commit and settling. */
async function compareUnlessDone(
  registry: Registry,
  { phases }: MoveRecord,
  hop: HopRecord,
  deadline: number,
): Promise<void> {
  const hasBegunToSettle = phases.some((phase) => phase.hop === hop.index && phase.name === 'settle');
  const isCompared = hop.kind === 'reshape' && !hop.filling;
  if (isCompared || hasBegunToSettle) return;
  const context = await openPhaseOf(registry, hop, 'compare', deadline);
  let cursor: unknown = context.kept.compareCursor ?? undefined;
  try {
    while (performance.now() < deadline) {
      const outcome = await compare(context, cursor);
      if (outcome.done) return;
      cursor = outcome.cursor;
      await context.keep({ compareCursor: cursor ?? null });
    }
  } catch (error) {
    // A concurrent recovery was faster: it releases the claim only after it has compared.
    if (error instanceof ClaimLost && !(await isClaimed(hop))) return;
    throw error;
  }
  throw new MoveStepFailed({ cause: new Error('the next call continues the comparison') });
}

async function isClaimed(hop: Hop): Promise<boolean> {
  const { placement } = await readCommit(hop);
  return placement?.mover === hop.attempt.attemptId;
}

/** Nothing is dropped at source or target. Requests follow the registry: to the target after a commit. */
async function keepBoth(registry: Registry, hop: Hop, regions: Regions | undefined): Promise<'mismatch'> {
  const { committed } = await readCommit(hop);
  if (committed) await followHop(registry, hop, { regions });
  await setHopState(registry, hop, ['working', 'committed', 'rolling-back'], 'mismatch');
  const { moveId, index, attempt } = hop;
  // The alarm looks for this message in the log.
  const alert = {
    level: 'ERROR',
    message: 'MoveMismatchAlert',
    moveId,
    hopIndex: index,
    tenantId: attempt.tenantId,
  };
  console.error(JSON.stringify(alert));
  return 'mismatch';
}

/** The tenant's place, when an unsuccessful move has settled a hop. */
function whereabouts(hops: readonly HopRecord[]): string {
  const last = hops.findLast((hop) => isSettled(hop));
  return last ? ` The tenant is in ${describePlace(last.target)} now.` : '';
}

// The end of a move whose hops are all settled.

/**
 * Writes the tenant's new tier or residency, and the move's report. A follow-up move in another region is started
 * before the end is recorded, because nothing would start it afterwards.
 */
async function succeed(
  registry: Registry,
  move: MoveRecord,
  actor: AuditActor,
  regions: Regions | undefined,
): Promise<SucceededMove> {
  const tenant = await findMovingTenant(registry, move.tenantId);
  const followUp = tenant && (await followUpOfMove(move, tenant));
  let started: FollowUpMove | undefined;
  if (followUp && regions && move.executionArn !== null) {
    const { startFollowUp } = await import('./other-region/follow-up-move.ts');
    started = await startFollowUp(regions, move, followUp, move.executionArn);
  }
  const ended = await recordSuccess(registry, move.moveId, actor, started);
  return followUp ? { ...ended, followUp: { ...followUp, ...started } } : ended;
}

async function followUpOfMove(move: MoveRecord, tenant: MovingTenant): Promise<FollowUp | undefined> {
  if (tenant.status !== 'elsewhere') return undefined;
  const { followUpOf } = await import('./other-region/follow-up-move.ts');
  return followUpOf(move, tenant);
}

function recordSuccess(
  registry: Pick<DataApi, 'transaction'>,
  moveId: string,
  actor: AuditActor,
  followUp: FollowUpMove | undefined,
): Promise<SucceededMove> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const named = await findMove(transaction, moveId);
    // The tenant is always locked first: requests for moves lock it too.
    const tenant = named && (await findMovingTenant(transaction, named.tenantId, { lock: true }));
    const move = await findMove(transaction, moveId, { lock: true });
    if (!move || !tenant) throw new MoveOvertaken();
    const { tenantId, startedBy, plan } = move;
    if (move.status === 'succeeded') {
      return { moveId, tenantId, status: 'succeeded', report: await readReport(transaction, moveId) };
    }
    if (move.status !== 'running') throw new MoveOvertaken();
    const hops = await hopsOf(transaction, moveId);
    if (hops.filter(isSettled).length < plan.length) throw new HopNotCommitted();

    // A tenant that has left the region is described by the other region's registry, to which it was handed over.
    if (tenant.status !== 'elsewhere' && move.restore === null) await applyTarget(transaction, tenant, move);
    if (move.restore?.mode === 'replace') await endLoss(transaction, tenantId);
    if (move.restore?.mode === 'clone') await serveClone(transaction, tenantId);
    const { phases, seconds } = await endPhases(transaction, moveId);
    const retriedBefore = await retriedOfLast(transaction, tenantId, hops[0]);
    const report = reportMove({ startedBy, seconds, phases, hops, retriedBefore, followUp });
    await registrySql(transaction)
      .updateTable('tenant_moves')
      .set({ status: 'succeeded', report, finished_at: now, updated_at: now })
      .where('move_id', '=', moveId)
      .execute();
    const { writePauseMs, rows, bytes } = report;
    await recordAudit(transaction, {
      actor,
      action: `${kindOf(move)}.succeed`,
      tenantId,
      resource: { type: kindOf(move), id: moveId },
      data: { hops: hops.length, writePauseMs, rows, bytes },
    });
    return { moveId, tenantId, status: 'succeeded', report };
  });
}

/** Tier and residency; limits follow the tier, except those that an operator has set for this tenant. */
async function applyTarget(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  { input, plan }: MoveRecord,
): Promise<void> {
  const { target } = readMoveInput(input);
  const tier = 'tier' in target ? target.tier : tenant.tier;
  const { maxUsers, maxStorageGb } = limitsUnder(tenant, tier);
  const region = plan.at(-1)?.to.region;
  await registrySql(transaction)
    .updateTable('tenants')
    .set({
      subscription_tier: tier,
      max_users: maxUsers,
      max_storage_gb: maxStorageGb,
      updated_at: now,
      ...('residency' in target
        ? { data_residency: target.residency, ...(region === undefined ? {} : { home_region: region }) }
        : {}),
    })
    .where('tenant_id', '=', tenant.tenantId)
    .execute();
}

async function endPhases(
  transaction: RegistryExecutor,
  moveId: string,
): Promise<{ phases: MoveRecord['phases']; seconds: number }> {
  const row = await registrySql(transaction)
    .updateTable('tenant_moves')
    .set({ phase: 'finished', phases: finishedPhases, current_pause_ms: null })
    .where('move_id', '=', moveId)
    .returning([
      'phases',
      sql<number>`cast(extract(epoch from clock_timestamp() - started_at) as double precision)`.as('seconds'),
    ])
    .executeTakeFirstOrThrow();
  return { phases: parseJson(row.phases) as unknown as MoveRecord['phases'], seconds: row.seconds };
}

// The workflow's reaction to a failed phase.

// Matches by instance, because the bundle renames the classes and their own `name` with them.
const ABORTED = new MoveAborted().name;
const MISMATCH = new MoveMismatch().name;

/**
 * Ends a move after a phase failed: as `aborted` when that was requested, otherwise as `failed`; or as succeeded when
 * only the result of the last phase was lost.
 * @returns the reason may be shown to a client.
 * @throws the errors of {@link endMove}.
 */
export async function endFailedMove(
  registry: Registry,
  moveId: string,
  failure: CaughtError,
  { regions, caches, vouched }: SettleOptions & { readonly vouched?: VouchedErrors } = {},
): Promise<{ readonly outcome: Exclude<MoveStatus, 'running'>; readonly reason: string }> {
  const stopped: Stopped = {
    status: failure.Error === ABORTED ? 'aborted' : 'failed',
    reason: reasonOf(failure, vouched),
    mismatch: failure.Error === MISMATCH,
  };
  const ended = await endMove(registry, moveId, { stopped, regions, caches });
  const reason = 'reason' in ended ? ended.reason : 'The move was done when it stopped.';
  return { outcome: ended.status, reason };
}

const VOUCHED: VouchedErrors = { ...errors, ...placesErrors, NoCellCapacity };

/**
 * Why a move ended, may be shown to a client.
 * @param others classes of what a restore does besides.
 */
export function reasonOf(failure: CaughtError, others: VouchedErrors = {}): string {
  const fallback = new MoveStepFailed().message;
  return reasonOfFailure(failure, { what: 'move', vouched: { ...VOUCHED, ...others }, fallback });
}
