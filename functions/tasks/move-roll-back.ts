import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { rollBackMove } from '../move/roll-back-move.ts';

const state = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid() }).optional(),
  failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
});

/** Takes back what is not committed, notes on the move why it ended, and tells the execution the same. */
export const handler = moveStateTask(state, async (registry, { move, failure }) => {
  // Nothing was begun that is known of; should a begin have been cut off, recovery finds its move by the execution.
  if (!move) return { outcome: 'failed', reason: 'The move was not begun.' };
  return rollBackMove(registry, move.moveId, failure);
});
