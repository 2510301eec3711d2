import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { reasonOf } from '../move/failure-reason.ts';
import { type RolledBack, rollBackMove } from '../move/roll-back-move.ts';

const state = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid() }).optional(),
  failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
});

/** Takes back what is not committed, notes on the move why it ended, and tells the execution the same. */
export const handler = moveStateTask(
  state,
  async (registry, { move, failure }, _deadline, regions): Promise<RolledBack> => {
    // The move was refused. Should its beginning have been cut off instead, recovery finds it by its execution.
    if (!move) return { outcome: 'failed', reason: reasonOf(failure) };
    return rollBackMove(registry, move.moveId, failure, regions);
  },
);
