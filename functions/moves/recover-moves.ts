/**
 * Recovery of moves whose executions ended without ending the move: stopped, timed out, failed in their own roll back,
 * never started, or lost with a machine. Each move is ended as its databases show (see end-move.ts), so that the same
 * input can be started again. Clean-ups whose executions ended early are started again. Samples of columns that a clean-up had
 * to leave in empty tables are replaced once the tables have rows.
 */

import { sql } from 'kysely';
import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { replaceLeftSamples } from './clean-up-hop.ts';
import { endMove } from './end-move.ts';
import type { Hop } from './hop.ts';
import { type HopRecord, kindOf, type MoveRecord, selectHops, selectMoves } from './move-records.ts';
import type { SettleOptions } from './settle-hop.ts';

/** The end of an execution, as EventBridge reports it. */
export interface EndedExecution {
  readonly executionArn: string;
  readonly status: string;
}

export interface Probes extends SettleOptions {
  /** The state of an execution; reads it from Step Functions when absent. */
  readonly statusOf?: (executionArn: string) => Promise<executions.ExecutionStatus>;
}

export interface RecoverOptions extends Probes {
  /** Recovers only what this execution had begun; everything when absent. */
  readonly ended?: EndedExecution;
  /** On `performance.now()`'s clock: no move or clean-up is begun after it. */
  readonly deadline?: number;
  /** Starts `tenant-move-cleanup` under a name. Clean-ups are not recovered when absent. */
  readonly cleanUp?: {
    readonly stateMachineArn: string;
    readonly start: (name: string, input: object) => Promise<void>;
  };
}

export interface Recovered {
  /** Moves that were ended. */
  readonly moves: readonly string[];
  /** Executions of the clean-ups that were started. */
  readonly cleanUps: readonly string[];
}

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/** A request records its move a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;

/**
 * @throws {AggregateError} some could not be recovered; the others were.
 * @throws the registry's errors.
 */
export async function recoverMoves(registry: Registry, options: RecoverOptions = {}): Promise<Recovered> {
  const { ended, deadline = Number.POSITIVE_INFINITY } = options;
  const recovered: { moves: string[]; cleanUps: string[] } = { moves: [], cleanUps: [] };
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<unknown>) => {
    if (performance.now() >= deadline) return;
    try {
      await work();
    } catch (error) {
      // A failure for one move must not prevent the recovery of the others.
      failures.push(error);
    }
  };
  const executionArn = ended?.executionArn;
  const moves = await selectMoves(registry, (all) => {
    const running = all.where('m.status', '=', 'running');
    return executionArn === undefined ? running : running.where('m.execution_arn', '=', executionArn);
  });
  for (const move of moves) {
    await attempt(async () => {
      if (await recoverMove(registry, move, options)) recovered.moves.push(move.moveId);
    });
  }
  const hops = await selectHops(registry, (all) => {
    const left = all
      .where('h.state', '=', 'settled')
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('tenant_moves as m')
              .select('m.move_id')
              .whereRef('m.move_id', '=', 'h.move_id')
              .where('m.status', '=', 'running'),
          ),
        ),
      );
    return executionArn === undefined ? left : left.where('h.cleanup_execution_arn', '=', executionArn);
  });
  for (const hop of hops) {
    await attempt(async () => {
      const started = await restartCleanUp(registry, hop, options);
      if (started) recovered.cleanUps.push(started);
    });
  }
  const withSamples = executionArn === undefined ? await selectHops(registry, leftSamples) : [];
  for (const hop of withSamples) await attempt(() => replaceLeftSamples(registry, hop));
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} moves were not recovered`);
  return recovered;
}

/** Hops whose clean-up left samples of columns. The cell of the source still exists: an operator may remove cells. */
const leftSamples: Parameters<typeof selectHops>[1] = (all) =>
  all
    .where('h.state', '=', 'cleaned')
    .where(sql<boolean>`h.result #>> '{samplesIn,0}' is not null`)
    .where(sql<boolean>`exists (select from cells c where c.cell_id = h.source ->> 'cellId')`);

/** True while the move's execution may still work. */
async function mayStillRun(
  { phase, ageSeconds, executionArn }: MoveRecord,
  { statusOf = executions.executionStatus }: Probes,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'none') return phase === 'planned' && ageSeconds < TIME_TO_START_SECONDS;
  return status === 'running';
}

/**
 * Ends a move whose execution is dead: settles or rolls back its open hop. A new execution calls this too, because it
 * may meet its predecessor before any recovery has run.
 * @returns false when the move's execution may still work: nothing was done.
 * @throws any error that interrupted it; call it again.
 */
export async function recoverMove(
  registry: Registry,
  move: MoveRecord,
  probes: Probes & Pick<RecoverOptions, 'deadline'>,
): Promise<boolean> {
  if (await mayStillRun(move, probes)) return false;
  const { statusOf = executions.executionStatus, deadline, regions, caches } = probes;
  const failed = move.executionArn !== null && (await statusOf(move.executionArn)) === 'failed';
  const kind = kindOf(move);
  const reason = move.abortRequested
    ? `The ${kind} was aborted.`
    : `The workflow of the ${kind} ended before the ${kind} was done.`;
  await endMove(registry, move.moveId, {
    stopped: { status: failed && !move.abortRequested ? 'failed' : 'aborted', reason },
    actor: { id: 'move-recover', type: 'system' },
    deadline,
    regions,
    caches,
  });
  return true;
}

/** @returns the execution that was started, if any. */
async function restartCleanUp(
  registry: Registry,
  { moveId, index, attempt, cleanUpExecutionArn: previous }: HopRecord,
  { cleanUp, statusOf = executions.executionStatus }: RecoverOptions,
): Promise<string | undefined> {
  if (!cleanUp || (previous !== null && (await statusOf(previous)) === 'running')) return undefined;
  const name = `cleanup-${attempt.attemptId}-${Date.now().toString(36)}`;
  const executionArn = executions.executionArnOf(cleanUp.stateMachineArn, name);
  if (!(await noteCleanUp(registry, { moveId, index }, { previous, executionArn }))) return undefined;
  await cleanUp.start(name, { moveId, hopIndex: index });
  return executionArn;
}

/**
 * Recorded before the start, so that only one of two recoveries starts it. If the start fails, the clean-up counts as
 * dead.
 */
async function noteCleanUp(
  registry: Registry,
  { moveId, index }: Pick<Hop, 'moveId' | 'index'>,
  { previous, executionArn }: { previous: string | null; executionArn: string },
): Promise<boolean> {
  const rows = await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ cleanup_execution_arn: executionArn, updated_at: now })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .where('state', '=', 'settled')
    .where('cleanup_execution_arn', 'is not distinct from', previous)
    .returning('move_id')
    .execute();
  return rows.length > 0;
}
