import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { recoverMoves } from '../move/recover-moves.ts';

/** What EventBridge tells of an execution that ended; a schedule tells nothing. */
const event = z.object({
  detail: z.object({ executionArn: z.string().min(1), status: z.string().min(1) }).optional(),
});

/** Settles or rolls back the moves whose executions ended without doing so: of the one that is told, or of all. */
export const handler = moveStateTask(event, (registry, { detail }, deadline) =>
  recoverMoves(registry, { ...(detail ? { ended: detail } : {}), deadline }),
);
