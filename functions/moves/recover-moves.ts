/**
 * What becomes of moves whose executions ended without ending them: stopped, timed out, failed in their own roll back,
 * never started, or gone with a machine. They are settled or rolled back as far as their databases say, and marked, so
 * that the same input can be started again. So are clean-ups that ended without being done.
 */

import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Hop } from './hop.ts';
import { type HopRecord, type MoveRecord, selectHops, selectMoves } from './move-records.ts';
import type { Regions } from './regions.ts';
import { unwindMove } from './unwind-move.ts';

/** An execution's end, as EventBridge tells it. */
export interface EndedExecution {
  readonly executionArn: string;
  readonly status: string;
}

export interface Probes {
  /** What has become of an execution; Step Functions is asked when absent. */
  readonly statusOf?: (executionArn: string) => Promise<executions.ExecutionStatus>;
  /** For moves that leave the region. */
  readonly regions?: Regions | undefined;
}

export interface RecoverOptions extends Probes {
  /** Only what this execution had begun; everything that is left behind when absent. */
  readonly ended?: EndedExecution;
  /** On `performance.now()`'s clock: no further one is begun afterwards. */
  readonly deadline?: number;
  /** Starts `tenant-move-cleanup` under a name. Clean-ups are left alone when absent. */
  readonly cleanUp?: {
    readonly stateMachineArn: string;
    readonly start: (name: string, input: object) => Promise<void>;
  };
}

export interface Recovered {
  /** Moves that were ended. */
  readonly moves: readonly string[];
  /** Clean-ups that were started, as executions. */
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
      // One move's trouble must not keep the others from being recovered.
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
      if (await mayStillRun(move, options)) return;
      await recoverMove(registry, move, options);
      recovered.moves.push(move.moveId);
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
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} moves were not recovered`);
  return recovered;
}

/** Whether something may still be going on with the move's execution. */
export async function mayStillRun(
  { phase, ageSeconds, executionArn }: MoveRecord,
  { statusOf = executions.executionStatus }: Probes,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'none') return phase === 'planned' && ageSeconds < TIME_TO_START_SECONDS;
  return status === 'running';
}

/** Ends a move whose execution is dead. @throws whatever kept it from being done; it can be called again. */
export async function recoverMove(
  registry: Registry,
  move: MoveRecord,
  { statusOf = executions.executionStatus, deadline, regions }: Probes & Pick<RecoverOptions, 'deadline'>,
): Promise<void> {
  const failed = move.executionArn !== null && (await statusOf(move.executionArn)) === 'failed';
  const reason = move.abortRequested
    ? 'The move was aborted.'
    : 'The workflow of the move ended before the move was done.';
  await unwindMove(registry, move, {
    end: { status: failed && !move.abortRequested ? 'failed' : 'aborted', reason },
    actor: { id: 'move-recover', type: 'system' },
    ...(deadline === undefined ? {} : { deadline }),
    ...(regions ? { regions } : {}),
  });
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

/** Noted before it is started: of two that restart it at once, one does. Should the start fail, it counts as dead. */
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
