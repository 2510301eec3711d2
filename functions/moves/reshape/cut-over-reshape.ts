/**
 * The cut-over of a reshape, which ends with the commit point of the hop.
 *
 *   [rounds while writers continue] ─▶ fence ─▶ last changes and commit, one transaction ─▶ committed
 *            ▲                         │                 │
 *            └──── rest ◀── lowered ◀──┴─ pause too long ┘
 *
 * Invariants: nothing but the last changes and the commit happens behind the fence, on a session that has just done the same
 * work; a pause that has grown too long is ended before the commit; only the placement tells whether a COMMIT took effect. A
 * fence whose function has died expires.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { literal } from '../../database/ddl/identifier.ts';
import { sqlStateOf } from '../../database/session/sql-state.ts';
import { FenceLost, WritersBusy } from '../../database/transfer/errors.ts';
import {
  type CommittedPlace,
  commitReshape,
  type Fence,
  lowerAbandonedFence,
  lowerFence,
  raiseFence,
  readPlacement,
  showsCommit,
  withoutWriters,
} from '../../database/transfer/fence.ts';
import { applyChanges, takeChanges } from '../../database/transfer/reshape/apply-changes.ts';
import type { Sides } from '../../database/transfer/reshape/sides.ts';
import { forwardTo } from '../../places/place.ts';
import { CutOverPostponed, MoveAborted } from '../errors.ts';
import type { Hop, HopContext, PhaseOutcome } from '../hop.ts';
import { pauseBudget } from '../pause-budget.ts';
import { round } from './catch-up-reshape.ts';
import { inAttemptSession, sidesOf } from './reshape-session.ts';

/** After so many fences the phase is postponed; the workflow calls it again later. */
const TRIES = 40;
/** With more keys left, the pause would be too long. */
const LAST_KEYS = 500;
const PATIENCE_MS = 2_000;
/** Twice the longest pause: how long writers wait where the function dies behind its fence. */
const FENCE_SECONDS = 2;
const REST_MS = 200;

/**
 * Commits the hop. Done when the placement shows the commit, also that of another run.
 * @throws {CutOverPostponed} no pause was short enough.
 * @throws {ClaimLost | AttemptBusy | MoveAborted}
 */
export async function cutOverReshape(context: HopContext, cursor?: unknown): Promise<PhaseOutcome> {
  const { hop } = context;
  const sides = sidesOf(hop);
  const pauses = numbersOf(context.kept.pauses);
  return inAttemptSession(context, cursor, async (owner) => {
    const placement = await readPlacement(owner, hop.attempt.tenantId);
    if (showsCommit(placement, hop)) return committed(context, owner, pauses);
    await lowerAbandonedFence(owner, hop.attempt);
    await rehearse(owner, hop);
    for (let tries = Number(context.kept.fenceTries ?? 0); ; tries++) {
      await context.progress(pauses.length > 0 ? { pauseMs: Math.max(...pauses) } : {});
      await catchUp(owner, hop, sides);
      const { pauseMs } = pauseBudget({ fenceTries: tries });
      if (await cutOver(owner, hop, sides, pauseMs, pauses))
        return committed(context, owner, pauses, tries + 1);
      await context.keep({ pauses, fenceTries: tries + 1 });
      if (tries % TRIES === TRIES - 1) throw new CutOverPostponed();
      if (performance.now() > context.deadline) return { done: false };
      await delay(REST_MS * (0.5 + Math.random()));
    }
  });
}

/** Leaves little to do behind the fence, and plans on this session the statements that run there. */
async function catchUp(owner: pg.Client, { attempt }: Hop, sides: Sides): Promise<void> {
  for (let rounds = 0; rounds < 10; rounds++) {
    const { keys } = await round(owner, attempt, sides, { everyTable: rounds === 0 });
    if (rounds > 0 && keys <= LAST_KEYS / 10) return;
  }
}

/** Plans the statement of the commit: under the token of a fence that was never raised it changes nothing. */
async function rehearse(owner: pg.Client, hop: Hop): Promise<void> {
  const neverRaised: Fence = { token: randomUUID(), since: performance.now() };
  try {
    await commitReshape(owner, hop.attempt, neverRaised, committedPlaceOf(hop));
  } catch (error) {
    if (!(error instanceof FenceLost)) throw error;
  }
}

/** One fence. @returns whether the hop was committed behind it. Its pause is added to `pauses` in any case. */
async function cutOver(
  owner: pg.Client,
  hop: Hop,
  sides: Sides,
  budgetMs: number,
  pauses: number[],
): Promise<boolean> {
  let fence: Fence;
  try {
    fence = await raiseFence(owner, hop.attempt, {
      seconds: FENCE_SECONDS,
      patienceMs: PATIENCE_MS,
      lockTimeoutMs: budgetMs,
      onBusy: (pausedMs) => pauses.push(pausedMs),
    });
  } catch (error) {
    if (error instanceof WritersBusy) return false;
    throw error;
  }
  try {
    const work = () => applyAndCommit(owner, hop, sides, fence, budgetMs);
    await withoutWriters(owner, sides.tenantId, work, { pipelined: true });
    return true;
  } catch (error) {
    // If the connection is gone, the fence expires; if COMMIT has taken effect, the token is no longer there.
    await lowerFence(owner, hop.attempt, fence).catch(() => {});
    if (isTooLate(error)) return false;
    throw error;
  } finally {
    pauses.push(performance.now() - fence.since);
  }
}

/** Nothing is written behind the fence, so each statement's own snapshot shows the same source. */
async function applyAndCommit(
  owner: pg.Client,
  hop: Hop,
  sides: Sides,
  fence: Fence,
  budgetMs: number,
): Promise<void> {
  const enter = `tenancy.enter_move(${literal(sides.tenantId)}, ${literal(fence.token)})`;
  const leftMs = Math.max(1, Math.ceil(fence.since + budgetMs - performance.now()));
  const [, taken] = await Promise.all([
    owner.query(`SET LOCAL statement_timeout = '${leftMs}ms'; SELECT ${enter}`),
    takeChanges(owner, sides.tenantId),
  ]);
  if (taken.keys > LAST_KEYS) throw new TooLate(`${taken.keys} keys were left`);
  const pausedMs = performance.now() - fence.since;
  if (pausedMs > budgetMs) throw new TooLate(`the pause has taken ${pausedMs} ms`);
  await Promise.all([
    applyChanges(owner, sides, taken),
    // It fails behind a statement that has failed, so nothing is committed without the last changes.
    commitReshape(owner, hop.attempt, fence, committedPlaceOf(hop)),
  ]);
  const spentMs = performance.now() - fence.since;
  if (spentMs > budgetMs) throw new TooLate(`the pause has taken ${spentMs} ms`);
}

function committedPlaceOf({ target }: Hop): CommittedPlace {
  const { isolationModel, schemaName, roleName } = target;
  return { isolationModel, schemaName, roleName, forward: forwardTo(target) };
}

class TooLate extends Error {
  override name = 'TooLate';
}

/** 57014: the statement took longer than the pause may; 40P01, 40001: PostgreSQL asks to repeat the transaction. */
function isTooLate(error: unknown): boolean {
  if (error instanceof TooLate || error instanceof WritersBusy || error instanceof FenceLost) return true;
  return ['57014', '55P03', '40P01', '40001'].includes(sqlStateOf(error) ?? '');
}

async function committed(
  context: HopContext,
  owner: pg.Client,
  pauses: readonly number[],
  fenceTries?: number,
): Promise<PhaseOutcome> {
  // Read after the commit: transactions that began before that time may have read the former place.
  const { rows } = await owner.query<{ now: string }>('select pg_catalog.clock_timestamp() as now');
  await context.keep({
    pauses,
    committedAt: context.kept.committedAt ?? rows[0]?.now,
    ...(pauses.length > 0 ? { writePauseMs: Math.max(...pauses) } : {}),
    ...(fenceTries === undefined ? {} : { fenceTries }),
  });
  if (pauses.length > 0) {
    await context.progress({ pauseMs: Math.max(...pauses) }).catch((error: unknown) => {
      // Too late to abort.
      if (!(error instanceof MoveAborted)) throw error;
    });
  }
  return { done: true };
}

function numbersOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'number') : [];
}
