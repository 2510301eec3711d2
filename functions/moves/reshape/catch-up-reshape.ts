import type pg from 'pg';
import type { Attempt } from '../../database/transfer/claim.ts';
import { compareSides, isEqual, type TableContent } from '../../database/transfer/compare-content.ts';
import { lowerAbandonedFence } from '../../database/transfer/fence.ts';
import {
  type ApplyOptions,
  applyChanges,
  type Taken,
  takeChanges,
} from '../../database/transfer/reshape/apply-changes.ts';
import { claimedModestly } from '../../database/transfer/reshape/attempt-session.ts';
import type { Sides } from '../../database/transfer/reshape/sides.ts';
import { verifyPlace } from '../../places/place-database.ts';
import { MoveMismatch } from '../errors.ts';
import type { HopContext, PhaseOutcome } from '../hop.ts';
import { summarizeTarget } from '../summarize-target.ts';
import { inAttemptSession, SNAPSHOT_SECONDS, sidesOf } from './reshape-session.ts';

const SMALL_KEYS = 500;
const QUICK_MS = 500;

/**
 * Applies captured changes, round by round, until few are left; then compares all rows of both sides in one snapshot.
 * @throws {MoveMismatch} they differ; what was compared is kept.
 * @throws {TenantUnreachable} the target's secret opens no session through its proxy (yet).
 * @throws {ClaimLost | AttemptBusy | MoveAborted}
 */
export async function catchUpReshape(context: HopContext, cursor?: unknown): Promise<PhaseOutcome> {
  const { attempt } = context.hop;
  const sides = sidesOf(context.hop);
  return inAttemptSession(context, cursor, async (owner) => {
    await lowerAbandonedFence(owner, attempt);
    let applied = appliedBefore(cursor);
    for (;;) {
      const started = performance.now();
      const { keys, bytes } = await round(owner, attempt, sides);
      applied += keys;
      await context.progress({ rowsDone: applied, lagBytes: bytes });
      if (keys <= SMALL_KEYS && performance.now() - started <= QUICK_MS) break;
      if (performance.now() > context.deadline) return { done: false, cursor: { applied } };
    }
    // The login that requests need behind the commit must work before it.
    await verifyPlace(context.hop.target);
    await summarizeTarget(owner, context.hop);
    const tables = await comparedRound(owner, attempt, sides);
    await context.keep({
      tables: tables.map(({ name, rows, sourceHash, targetHash }) => ({
        name,
        rows,
        sourceHash,
        targetHash,
      })),
    });
    const different = tables.filter((table) => !isEqual(table));
    if (different.length > 0) throw new MoveMismatch({ cause: different });
    return { done: true };
  });
}

/** One round in a snapshot of its own, while writers continue. */
export function round(
  owner: pg.Client,
  attempt: Attempt,
  sides: Sides,
  options: ApplyOptions = {},
): Promise<Taken> {
  return claimedModestly(owner, attempt, () => applyNoted(owner, sides, options), {
    isolation: 'repeatable read',
    seconds: SNAPSHOT_SECONDS,
  });
}

async function applyNoted(owner: pg.Client, sides: Sides, options: ApplyOptions = {}): Promise<Taken> {
  await owner.query('select tenancy.enter_move($1, null)', [sides.tenantId]);
  const taken = await takeChanges(owner, sides.tenantId);
  await applyChanges(owner, sides, taken, options);
  return taken;
}

function comparedRound(owner: pg.Client, attempt: Attempt, sides: Sides): Promise<TableContent[]> {
  return claimedModestly(
    owner,
    attempt,
    async () => {
      await applyNoted(owner, sides);
      return compareSides(owner, sides);
    },
    { isolation: 'repeatable read', seconds: SNAPSHOT_SECONDS },
  );
}

function appliedBefore(cursor: unknown): number {
  const { applied } = (cursor ?? {}) as { applied?: unknown };
  return typeof applied === 'number' ? applied : 0;
}
