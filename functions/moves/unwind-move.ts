/**
 * The end of a move that its workflow does not bring to its end, whoever ends it: that workflow, or recovery.
 *
 *   open hop ──the source shows its commit──▶ followed, compared, settled
 *            ──the sides differ──▶ mismatch (both sides kept)
 *            ──otherwise──▶ rolling-back ──▶ rolled-back
 *   all hops settled ──▶ succeeded, whatever stopped it ── otherwise ──▶ failed or aborted
 * Invariants: the database that the tenant leaves decides, before the roll back and after it, whether the hop is
 * committed; the move ends last, so that a move which has ended has no open hop. Each step may be cut off and be done
 * again, or twice at once.
 */

import { sql } from 'kysely';
import { releaseClaim } from '../database/transfer/claim.ts';
import { ClaimLost } from '../database/transfer/errors.ts';
import { readPlacement } from '../database/transfer/fence.ts';
import { tenantSecretName } from '../placement/tenant-names.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { completeMove } from './complete-move.ts';
import { endMove, type MoveEnd } from './end-move.ts';
import { MoveMismatch, MoveStepFailed } from './errors.ts';
import { whereabouts } from './failure-reason.ts';
import { followHop } from './follow-hop.ts';
import { asOwnerOf, type Hop } from './hop.ts';
import { isCommitted, showsCommit } from './hop-commit.ts';
import { type HopRecord, hopsOf, isOpen, isSettled, type MoveRecord, setHopState } from './move-records.ts';
import { withdrawAnnouncement } from './other-region/announce-arrival.ts';
import { crossesBorder, type Regions } from './regions.ts';
import { rollBackRelocate } from './relocate/roll-back-relocate.ts';
import { rollBackReshape } from './reshape/roll-back-reshape.ts';
import { settleHop } from './settle-hop.ts';
import { openStep } from './step-context.ts';
import { compare } from './steps.ts';
import { discardCredentials } from './target/discard-credentials.ts';

type Registry = Pick<DataApi, 'transaction' | 'query'>;

export interface Unwinding {
  readonly end: MoveEnd;
  readonly actor: AuditActor;
  /** The sides were found to differ. */
  readonly mismatch?: boolean;
  /** On `performance.now()`'s clock; a comparison that is not done by then goes on at the next call. */
  readonly deadline?: number;
  readonly regions?: Regions | undefined;
}

export type Unwound = MoveEnd | { readonly status: 'succeeded'; readonly reason: string };

const COMPARE_MS = 4 * 60_000;

/**
 * Settles or rolls back the open hop of a running move, and ends the move: as it was meant to end where nothing but
 * that was left to do, also if it was to be aborted. It has committed then, and that cannot be taken back.
 * @returns how the move has ended, in this call or before.
 * @throws whatever kept it from being done; it can be called again.
 */
export async function unwindMove(
  registry: Registry,
  move: MoveRecord,
  unwinding: Unwinding,
): Promise<Unwound> {
  const { deadline = performance.now() + COMPARE_MS, actor, regions } = unwinding;
  const open = (await hopsOf(registry, move.moveId)).find(isOpen);
  const differs = unwinding.mismatch || open?.result.mismatchAt !== undefined;
  const different =
    open !== undefined &&
    (differs ? await keepBoth(registry, open, regions) : await unwindHop(registry, open, deadline, regions));
  if (regions) await withdrawFrom(regions, move, await hopsOf(registry, move.moveId));
  const { status, reason } = different
    ? { status: 'failed' as const, reason: new MoveMismatch().message }
    : unwinding.end;
  const hops = await hopsOf(registry, move.moveId);
  if (move.plan.length > 0 && hops.filter(isSettled).length === move.plan.length) {
    const { status } = await completeMove(registry, move, regions, actor);
    return { status, reason: 'The move was done when it stopped.' };
  }
  const end = { status, reason: `${reason}${whereabouts(hops)}` };
  await registry.transaction((transaction) => endMove(transaction, move, end, actor));
  return end;
}

/** @returns whether the sides turned out to differ. */
async function unwindHop(
  registry: Registry,
  hop: HopRecord,
  deadline: number,
  regions: Regions | undefined,
): Promise<boolean> {
  if (!(await isCommitted(hop))) {
    await setHopState(registry, hop, ['working', 'committed', 'rolling-back'], 'rolling-back');
    try {
      await (hop.kind === 'reshape' ? rollBackReshape(hop) : rollBackRelocate(hop));
    } catch (error) {
      if (!(await isCommitted(hop))) throw error;
    }
    // The flip of a function that was frozen may have come before the roll back took the claim.
    if (!(await isCommitted(hop))) {
      await giveBack(hop, regions);
      await setHopState(registry, hop, ['rolling-back'], 'rolled-back');
      return false;
    }
  }
  await followHop(registry, hop, { regions });
  try {
    await compareFirst(registry, hop, deadline);
  } catch (error) {
    if (error instanceof MoveMismatch) return keepBoth(registry, hop, regions);
    throw error;
  }
  await settleHop(registry, { hop }, regions);
  return false;
}

/** A region that the tenant was announced to and has not come to forgets it. */
async function withdrawFrom(regions: Regions, { tenantId, plan }: MoveRecord, hops: readonly HopRecord[]) {
  const border = plan.find(({ from, to }) => from.region !== to.region);
  const arrived = hops.some((hop) => crossesBorder(hop) && hop.state !== 'rolled-back');
  if (border && !arrived)
    await withdrawAnnouncement(regions.of(border.to.region), tenantId, border.from.region);
}

async function giveBack(hop: Hop, regions: Regions | undefined): Promise<void> {
  const { attempt, source, target } = hop;
  await asOwnerOf(source, (owner) => releaseClaim(owner, attempt));
  // A dedicated database's secrets are its stack's, the shared tables' the cell's.
  if (target.isolationModel !== 'schema') return;
  if (target.secretArn) await discardCredentials(target.secretArn);
  else {
    const awsRegion = crossesBorder(hop) ? regions?.awsRegionOf(target.region) : undefined;
    await discardCredentials(tenantSecretName(attempt.tenantId, target.roleName), awsRegion);
  }
}

/** What the workflow had left to do between commit and settling: nothing is cleaned up that was not compared. */
async function compareFirst(registry: Registry, hop: HopRecord, deadline: number): Promise<void> {
  if (hop.kind === 'reshape' || (await hasBegunToSettle(registry, hop))) return;
  const context = await openStep(
    registry,
    { moveId: hop.moveId, hopIndex: hop.index, phase: 'compare' },
    deadline,
  );
  let cursor: unknown = context.kept.compareCursor ?? undefined;
  try {
    while (performance.now() < deadline) {
      const outcome = await compare(context, cursor);
      if (outcome.done) return;
      cursor = outcome.cursor;
      await context.keep({ compareCursor: cursor ?? null });
    }
  } catch (error) {
    // Recovery may run twice at once, or be cut off late: who gives the claim back has compared before.
    if (error instanceof ClaimLost && !(await isClaimed(hop))) return;
    throw error;
  }
  throw new MoveStepFailed({ cause: new Error('the comparison goes on at the next call') });
}

async function isClaimed({ attempt, source }: Hop): Promise<boolean> {
  const placement = await asOwnerOf(source, (owner) => readPlacement(owner, attempt.tenantId));
  return placement?.mover === attempt.attemptId;
}

async function hasBegunToSettle(registry: RegistryExecutor, { moveId, index }: Hop): Promise<boolean> {
  const { rows } = await sql`
    select 1 as settling from tenant_moves, jsonb_array_elements(phases) as each (p)
     where move_id = ${columnValue('tenant_moves.move_id', moveId)}
       and p ->> 'hop' = ${String(index)} and p ->> 'name' = 'settle'`.execute(registrySql(registry));
  return rows.length > 0;
}

/** Nothing is dropped on either side. The registry tells where requests go, which is to the target after a commit. */
async function keepBoth(registry: Registry, hop: Hop, regions: Regions | undefined): Promise<true> {
  const placement = await asOwnerOf(hop.source, (owner) => readPlacement(owner, hop.attempt.tenantId));
  if (showsCommit(placement, hop)) await followHop(registry, hop, { regions });
  await setHopState(registry, hop, ['working', 'committed', 'rolling-back'], 'mismatch');
  // The name that the alarm looks for in the log.
  const { moveId, index, attempt } = hop;
  console.error(
    JSON.stringify({
      level: 'ERROR',
      message: 'MoveMismatchAlert',
      moveId,
      hopIndex: index,
      tenantId: attempt.tenantId,
    }),
  );
  return true;
}
