/**
 * The phases of moves and of their clean-ups that sign in to databases, inside the network; and the recovery of moves
 * whose execution ended early.
 */
import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { type MoveDataEnvironment, variable } from '../contracts/environments.ts';
import { leavesRegion } from '../moves/hop.ts';
import type { CachePool } from '../tenant-data/cache-pool.ts';
import { type HopPhase, hopPhase, movePhase, moveTask } from './move-task.ts';

const executionArn = z.string().min(1);

/** ARN of `tenant-move-cleanup`. @throws {Error} the function's environment is incomplete. */
const cleanUpStateMachine = () => variable<MoveDataEnvironment>('MOVE_CLEANUP_STATE_MACHINE_ARN');

let pool: CachePool | undefined;

/** The caches of this function's region, from which its tenants move; undefined when it has none. */
async function caches(): Promise<CachePool | undefined> {
  const cellIds = process.env.CACHES;
  if (cellIds && !pool) {
    const { cachePoolOf } = await import('../tenant-data/cache-pool.ts');
    pool ??= cachePoolOf(cellIds);
  }
  return pool;
}

/** A phase with one implementation for a reshape and another for a relocate. */
const ofHop =
  (name: 'prepare' | 'copy' | 'index' | 'catchUp' | 'compare'): HopPhase =>
  async (context, cursor) =>
    (await import('../moves/hop-phases.ts'))[name](context, cursor);

/** Plans the move and makes it the tenant's only running one, or continues the move that this execution has begun. */
const begin = movePhase(
  z.object({ executionArn, input: z.unknown() }),
  async (registry, state, _deadline, regions) => {
    const { beginMove } = await import('../moves/begin-move.ts');
    const { surveyTenant } = await import('../moves/survey-tenant.ts');
    return beginMove(registry, state.input, state.executionArn, {
      regions,
      caches: await caches(),
      survey: (tenantId) => surveyTenant(registry, tenantId),
    });
  },
);

/** Prepares the dedicated database for a tenant. */
const bootstrap = hopPhase('bootstrap', async (context) => {
  const { bootstrapTarget } = await import('../moves/make-target.ts');
  return bootstrapTarget(context);
});

/** Fences the tenant's writes, transfers the last of them, and commits the hop. */
const cutOver = hopPhase('cut-over', async (context, cursor, registry, regions) => {
  const steps = await import('../moves/hop-phases.ts');
  const outcome = await steps.cutOver(context, cursor, await caches());
  // Requests are redirected to the other region from the commit on, so its registry must have the tenant at once.
  if (outcome.done && leavesRegion(context.hop)) {
    const { followHop } = await import('../moves/settle-hop.ts');
    await followHop(registry, context.hop, { regions });
  }
  return outcome;
});

/**
 * Writes the committed hop to the registry, ends the claim on the tenant, and starts the clean-up of the hop's source.
 */
const settle = hopPhase('settle', async (context, _cursor, registry, regions) => {
  const { settleHop, startCleanUp } = await import('../moves/settle-hop.ts');
  await settleHop(registry, context, { regions, caches: await caches() });
  await startCleanUp(registry, context.hop, cleanUpStateMachine());
  if (context.hop.target.isolationModel === 'shared') {
    const { summarizeSharedTables } = await import('../moves/summarize-target.ts');
    await summarizeSharedTables(context.hop);
  }
  return { done: true };
});

/** Rolls back an uncommitted hop, records in the move why it ended, and fails the execution with the same reason. */
const rollBack = movePhase(
  z.object({
    executionArn,
    move: z.object({ moveId: z.uuid() }).optional(),
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  async (registry, { move, failure }, _deadline, regions) => {
    const { endFailedMove, reasonOf } = await import('../moves/end-move.ts');
    // It ends restores too, and may show why they failed.
    const vouched = {
      ...(await import('../backups/errors.ts')),
      ...(await import('../restores/errors.ts')),
      ...(await import('../aws/errors.ts')),
    };
    // The move was refused. If its beginning was cut off instead, recovery finds it by its execution.
    if (!move) return { outcome: 'failed', reason: reasonOf(failure, vouched) };
    return endFailedMove(registry, move.moveId, failure, { regions, caches: await caches(), vouched });
  },
);

const amount = z.coerce.number().nonnegative();

/** Drops what the tenant left at the hop's source. The workflow calls it until all is gone. */
const cleanUp = movePhase(
  z.object({ executionArn, move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }) }),
  async (registry, { move }, deadline) => {
    const { cleanUpHop } = await import('../moves/clean-up-hop.ts');
    const keepDays = amount.parse(variable<MoveDataEnvironment>('KEEP_DEDICATED_DAYS'));
    const keepReplacedHours = amount.parse(variable<MoveDataEnvironment>('KEEP_REPLACED_HOURS'));
    return cleanUpHop(registry, move, { deadline, keepDays, keepReplacedHours });
  },
);

/** EventBridge's event of an ended execution; a schedule sends none. */
const ended = z.object({
  detail: z.object({ executionArn, status: z.string().min(1) }).optional(),
});

/** Settles or rolls back the moves whose executions ended early: of the event's execution, or of all. */
const recover = movePhase(ended, async (registry, { detail }, deadline, regions) => {
  const { recoverMoves } = await import('../moves/recover-moves.ts');
  const { startExecution } = await import('../aws/executions.ts');
  const stateMachineArn = cleanUpStateMachine();
  const recovered = await recoverMoves(registry, {
    ...(detail ? { ended: detail } : {}),
    deadline,
    regions,
    caches: await caches(),
    cleanUp: { stateMachineArn, start: (name, input) => startExecution(stateMachineArn, name, input) },
  }).catch(logEach);
  // Normally there is nothing to recover, so a recovery is logged.
  for (const [what, names] of Object.entries(recovered))
    if (names.length > 0) logger.warn('recovered', { [what]: names });
  return recovered;
});

/** A move that cannot be recovered stays as it is until the next recovery; the log has the reason. */
function logEach(error: unknown): never {
  if (error instanceof AggregateError) {
    for (const each of error.errors) logger.error('a move was not recovered', { error: each as Error });
  }
  throw error;
}

export const phases = {
  begin,
  bootstrap,
  settle,
  recover,
  /** Claims the tenant, creates its objects at the target, and starts to record the changes that follow the copy. */
  prepare: hopPhase('prepare', ofHop('prepare')),
  /** Copies the tenant's rows while requests continue. */
  copy: hopPhase('copy', ofHop('copy')),
  /** Builds at the target what would slow down a copy: indexes, foreign keys, capture. */
  index: hopPhase('index', ofHop('index')),
  /** Applies the changes since the copy until the pause of a cut-over would be short. */
  'catch-up': hopPhase('catch-up', ofHop('catchUp')),
  'cut-over': cutOver,
  /** Compares source and target, without what was written since the commit. */
  compare: hopPhase('compare', ofHop('compare')),
  'roll-back': rollBack,
  'clean-up': cleanUp,
};

export const handler = moveTask(phases, 'recover');
