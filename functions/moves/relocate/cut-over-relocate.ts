/**
 * The cut-over of a relocate, which ends with the commit point of the hop.
 *
 *   source   active ──fence──▶ fenced ── marker ──────────────────▶ moved (COMMIT POINT)
 *   target   none ──place (open transaction)── marker arrives ──▶ commit: placed, capturing
 *
 * Invariants:
 * - the commit counts only under the token of this fence, unexpired, and only after the marker that carries the token has
 *   arrived and the target's placement is committed. The marker was written after every write that entered before the fence,
 *   and all tables were past their first copy: whatever precedes the marker has arrived as well;
 * - committing the placement flushes the target's log, and with it what the subscription applied without flushing (its
 *   synchronous_commit is off). So nothing that the source has discarded can be lost by a crash of the target;
 * - the target's placement has the next epoch. No request knows it before the commit, so none can enter there, also where this
 *   ends between the two commits. Such a placement stays: a repeated cut-over finds it, and only a roll back removes it, which
 *   has made a commit impossible first. A cut-over that lost its fence must not remove it: another run of the same phase may
 *   have committed since;
 * - two runs at once: one raises the fence, the other finds it up (WritersBusy), or the hop committed. A run that was frozen
 *   finds its fence expired (FenceLost). One that is frozen between the statement of the commit and COMMIT holds the writers'
 *   lock, which the next fence and the roll back wait for.
 */
import type pg from 'pg';
import { sqlStateOf } from '../../database/session/sql-state.ts';
import { claimed, holdTarget, inTransaction } from '../../database/transfer/claim.ts';
import { FenceLost, WritersBusy } from '../../database/transfer/errors.ts';
import {
  commitRelocate,
  type Fence,
  lowerFence,
  raiseFence,
  readPlacement,
  showsCommit,
  withCommitRecord,
  withoutWriters,
} from '../../database/transfer/fence.ts';
import { awaitMarker, markFence } from '../../database/transfer/replication/marker.ts';
import { placeAtTarget } from '../../database/transfer/target-placement.ts';
import { forwardTo } from '../../places/place.ts';
import { asOwnersOf } from '../../places/place-database.ts';
import { CutOverPostponed, MoveAborted } from '../errors.ts';
import { type Hop, type HopContext, type PhaseOutcome, readCommit } from '../hop.ts';
import { type PauseBudget, pauseBudget } from '../pause-budget.ts';
import { lagOf } from './catch-up-relocate.ts';
import { reportingBrokenReplication } from './replication.ts';

interface Connections {
  /** Holds the claim open at the source. */
  readonly claim: pg.Client;
  /** Raises the fence, writes the marker and commits at the source. */
  readonly source: pg.Client;
  /** Waits for the marker at the target. */
  readonly target: pg.Client;
  /** Places the tenant at the target. */
  readonly placing: pg.Client;
}

/** Opened beforehand, because connecting is slow. */
function connected<Result>({ source, target }: Hop, work: (connections: Connections) => Promise<Result>) {
  return asOwnersOf([source, source, target, target], ([claim, second, third, placing]) =>
    work({ claim: claim!, source: second!, target: third!, placing: placing! }),
  );
}

/** The transaction at the target is open meanwhile. */
const PATIENCE_MS = 2_000;

/**
 * Commits the hop, or leaves the tenant where it is, writable.
 * @throws {CutOverPostponed} the marker was late, or the fence expired; call it again.
 * @throws {WritersBusy | AttemptBusy} the same. {ClaimLost | ReplicationBroken | MoveAborted}
 */
export function cutOverRelocate(context: HopContext): Promise<PhaseOutcome> {
  const { hop } = context;
  return reportingBrokenReplication(() =>
    connected(hop, async (connections) => {
      const before = await readPlacement(connections.source, hop.attempt.tenantId);
      if (showsCommit(before, hop)) return committed(context, before?.pause_ms ?? 0);
      const lagBytes = await lagOf({ source: connections.claim, target: connections.target }, context);
      await context.progress(lagBytes === undefined ? {} : { lagBytes });
      if (lagBytes === undefined) throw postponed(new Error('a table is in its first copy'));
      try {
        return await committed(context, await cutOverOnce(connections, hop, pauseBudget(context.kept)));
      } catch (error) {
        // Another run may have committed, or the answer of our own COMMIT was lost. On a new connection: the one that
        // committed may be broken.
        const { committed: isCommitted, placement } = await readCommit(hop);
        if (isCommitted) return committed(context, placement?.pause_ms ?? 0);
        throw await keepingPause(context, error);
      }
    }),
  );
}

/** @returns how long writes were paused, in milliseconds. @throws {Interrupted} and others; nothing is committed at the source. */
async function cutOverOnce(
  { claim, source, target, placing }: Connections,
  { attempt, source: from, target: to }: Hop,
  budget: PauseBudget,
): Promise<number> {
  return claimed(claim, attempt, async () => {
    let fence: Fence | undefined;
    try {
      const raised = await inTransaction(placing, 'read committed', 10, async () => {
        await holdTarget({ source: claim, target: placing }, attempt);
        await placing.query('SET LOCAL synchronous_commit = on');
        await placeAtTarget(placing, { ...to, tenantId: attempt.tenantId });
        fence = await raiseFence(source, attempt, {
          seconds: Math.min(4, 2 + (2 * budget.pauseMs) / 1_000),
          patienceMs: PATIENCE_MS,
        });
        if (!(await markFence(source, from.schemaName, attempt, fence)))
          throw new FenceLost('the fence is down');
        const until = performance.now() + budget.markerMs;
        if (!(await awaitMarker(target, to.schemaName, fence.token, until))) throw new LateMarker();
        return fence;
      });
      await withoutWriters(source, attempt.tenantId, () =>
        commitRelocate(source, attempt, raised, {
          forward: withCommitRecord(forwardTo(to), attempt, since(raised)),
        }),
      );
      return since(raised);
    } catch (error) {
      if (!fence) throw error;
      // Does nothing where the fence is another one, or the hop committed.
      await lowerFence(source, attempt, fence).catch(() => {});
      throw new Interrupted(since(fence), error);
    }
  });
}

class LateMarker extends Error {
  override name = 'LateMarker';
}

/** The cut-over failed behind its fence, which was lowered again. */
class Interrupted extends Error {
  override name = 'Interrupted';
  readonly pauseMs: number;
  constructor(pauseMs: number, cause: unknown) {
    super('the cut-over was interrupted behind its fence', { cause });
    this.pauseMs = pauseMs;
  }
}

const since = (fence: Fence) => performance.now() - fence.since;
const fencesRaised = ({ kept }: HopContext) => Number(kept.fenceTries ?? 0);
const postponed = (cause: unknown) => new CutOverPostponed({ cause });

/** Keeps the pause of a cut-over that failed behind its fence. @returns the error to be thrown. */
async function keepingPause(context: HopContext, error: unknown): Promise<unknown> {
  // Another run of this phase is placing the tenant at this moment.
  if (sqlStateOf(error) === '55P03') return postponed(error);
  if (!(error instanceof Interrupted)) return error;
  const { pauseMs, cause } = error;
  await context.keep({ fenceTries: fencesRaised(context) + 1, ...pauses(context, pauseMs) });
  await context.progress({ pauseMs });
  const passing = cause instanceof LateMarker || cause instanceof FenceLost || cause instanceof WritersBusy;
  return passing ? postponed(cause) : cause;
}

async function committed(context: HopContext, pauseMs: number): Promise<PhaseOutcome> {
  if (context.kept.committedAt === undefined) {
    await context.keep({ committedAt: new Date().toISOString(), ...pauses(context, pauseMs) });
    await context.progress({ pauseMs }).catch((error: unknown) => {
      // Too late to abort.
      if (!(error instanceof MoveAborted)) throw error;
    });
  }
  return { done: true };
}

function pauses({ kept }: HopContext, pauseMs: number) {
  const all = [...((kept.pauses as number[] | undefined) ?? []), Math.round(pauseMs * 100) / 100];
  return { pauses: all, writePauseMs: Math.max(...all) };
}
