import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { completeMove } from '../move/complete-move.ts';
import { MoveOvertaken } from '../move/errors.ts';
import { findMove } from '../move/move-records.ts';

const state = z.object({ executionArn: z.string().min(1), move: z.object({ moveId: z.uuid() }) });

/** Gives the tenant its new tier and the move its report; what it answers is the execution's output. */
export const handler = moveStateTask(state, async (registry, { move: { moveId } }, _deadline, regions) => {
  const move = await findMove(registry, moveId);
  if (!move) throw new MoveOvertaken();
  return completeMove(registry, move, regions);
});
