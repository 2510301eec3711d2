import * as z from 'zod';
import { cleanUpStateMachine } from '../middleware/clean-up-settings.ts';
import { logger } from '../middleware/logger.ts';
import { moveStateTask } from '../middleware/move-task.ts';
import { recoverMoves } from '../move/recover-moves.ts';
import { startExecution } from '../move/workflow-executions.ts';

/** EventBridge's event of an execution that ended; a schedule sends none. */
const event = z.object({
  detail: z.object({ executionArn: z.string().min(1), status: z.string().min(1) }).optional(),
});

/** Settles or rolls back the moves whose executions ended without doing so: of the one that is told, or of all. */
export const handler = moveStateTask(event, async (registry, { detail }, deadline, regions) => {
  const stateMachineArn = cleanUpStateMachine();
  const recovered = await recoverMoves(registry, {
    ...(detail ? { ended: detail } : {}),
    ...{ deadline, regions },
    cleanUp: { stateMachineArn, start: (name, input) => startExecution(stateMachineArn, name, input) },
  }).catch(tellEach);
  // Nothing should be left to recover: whoever looks into the log wants to see what was.
  for (const [what, names] of Object.entries(recovered))
    if (names.length > 0) logger.warn('recovered', { [what]: names });
  return recovered;
});

/** A move that cannot be recovered stays as it is until the next try; the log has to say why. */
function tellEach(error: unknown): never {
  if (error instanceof AggregateError) {
    for (const each of error.errors) logger.error('a move was not recovered', { error: each as Error });
  }
  throw error;
}
