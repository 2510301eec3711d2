/**
 * The phases of moves and their clean-ups that sign in to databases, inside the network; and the recovery of moves whose
 * execution ended early.
 */
import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { type MoveDataEnvironment, variable } from '../contracts/environments.ts';
import { leavesRegion } from '../moves/hop.ts';
import { type HopPhase, hopPhase, movePhase, moveTask } from './move-task.ts';

const executionArn = z.string().min(1);

/** ARN of `tenant-move-cleanup`. @throws {Error} the function's environment is incomplete. */
const cleanUpStateMachine = () => variable<MoveDataEnvironment>('MOVE_CLEANUP_STATE_MACHINE_ARN');

/** A phase that does one thing for a reshape and another for a relocation. */
const ofHop =
  (name: 'prepare' | 'copy' | 'index' | 'catchUp' | 'compare'): HopPhase =>
  async (context, cursor) =>
    (await import('../moves/hop-phases.ts'))[name](context, cursor);

/** Plans the move and makes it the tenant's only one, or goes on with what this execution has begun. */
const begin = movePhase(
  z.object({ executionArn, input: z.unknown() }),
  async (registry, state, _deadline, regions) => {
    const { beginMove } = await import('../moves/begin-move.ts');
    const { surveyTenant } = await import('../moves/survey-tenant.ts');
    return beginMove(registry, state.input, state.executionArn, {
      regions,
      survey: (tenantId) => surveyTenant(registry, tenantId),
    });
  },
);

/** Prepares the dedicated database for a tenant. */
const bootstrap = hopPhase('bootstrap', async (context) => {
  const { bootstrapTarget } = await import('../moves/make-target.ts');
  return bootstrapTarget(context);
});

/** Fences the tenant's writes, carries the last of them over, and commits the hop. */
const cutOver = hopPhase('cut-over', async (context, cursor, registry, regions) => {
  const steps = await import('../moves/hop-phases.ts');
  const outcome = await steps.cutOver(context, cursor);
  // Requests are sent to the other region from the commit on: it has to know the tenant at once.
  if (outcome.done && leavesRegion(context.hop)) {
    const { followHop } = await import('../moves/settle-hop.ts');
    await followHop(registry, context.hop, { regions });
  }
  return outcome;
});

/** Makes the registry follow the committed hop, frees the tenant, and starts the clean-up of the place that it left. */
const settle = hopPhase('settle', async (context, _cursor, registry, regions) => {
  const { settleHop, startCleanUp } = await import('../moves/settle-hop.ts');
  await settleHop(registry, context, regions);
  await startCleanUp(registry, context.hop, cleanUpStateMachine());
  return { done: true };
});

/** Rolls back what is not committed, records at the move why it ended, and gives the execution the same reason. */
const rollBack = movePhase(
  z.object({
    executionArn,
    move: z.object({ moveId: z.uuid() }).optional(),
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  async (registry, { move, failure }, _deadline, regions) => {
    const { endFailedMove, reasonOf } = await import('../moves/end-move.ts');
    // The move was refused. If its beginning was cut off instead, recovery finds it by its execution.
    if (!move) return { outcome: 'failed', reason: reasonOf(failure) };
    return endFailedMove(registry, move.moveId, failure, regions);
  },
);

const days = z.coerce.number().nonnegative();

/** Drops what the tenant left at the place that it moved away from; called until all is gone. */
const cleanUp = movePhase(
  z.object({ executionArn, move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }) }),
  async (registry, { move }, deadline) => {
    const { cleanUpHop } = await import('../moves/clean-up-hop.ts');
    const keepDays = days.parse(variable<MoveDataEnvironment>('KEEP_DEDICATED_DAYS'));
    return cleanUpHop(registry, move, { deadline, keepDays });
  },
);

/** EventBridge's event of an execution that ended; a schedule sends none. */
const ended = z.object({
  detail: z.object({ executionArn, status: z.string().min(1) }).optional(),
});

/** Settles or rolls back the moves whose executions ended without doing so: of the execution in the event, or of all. */
const recover = movePhase(ended, async (registry, { detail }, deadline, regions) => {
  const { recoverMoves } = await import('../moves/recover-moves.ts');
  const { startExecution } = await import('../aws/executions.ts');
  const stateMachineArn = cleanUpStateMachine();
  const recovered = await recoverMoves(registry, {
    ...(detail ? { ended: detail } : {}),
    deadline,
    regions,
    cleanUp: { stateMachineArn, start: (name, input) => startExecution(stateMachineArn, name, input) },
  }).catch(logEach);
  // Nothing should be left to recover, so the log shows what was.
  for (const [what, names] of Object.entries(recovered))
    if (names.length > 0) logger.warn('recovered', { [what]: names });
  return recovered;
});

/** A move that cannot be recovered stays as it is until the next recovery; the log says why. */
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
  /** Claims the tenant, makes its objects at the target, and begins to record the changes that follow the copy. */
  prepare: hopPhase('prepare', ofHop('prepare')),
  /** Copies the tenant's rows while the tenant is served. */
  copy: hopPhase('copy', ofHop('copy')),
  /** Builds at the target what a copy is quicker without: indexes, foreign keys, capture. */
  index: hopPhase('index', ofHop('index')),
  /** Applies the changes since the copy, until the pause of a cut-over would be short. */
  'catch-up': hopPhase('catch-up', ofHop('catchUp')),
  'cut-over': cutOver,
  /** Compares both places, without what was written since the commit. */
  compare: hopPhase('compare', ofHop('compare')),
  'roll-back': rollBack,
  'clean-up': cleanUp,
};

export const handler = moveTask(phases, 'recover');
