/** The phases of `tenant-move` that need the registries only. */
import * as z from 'zod';
import { movePhase, moveTask } from '../middleware/move-task.ts';
import { completeMove } from '../move/complete-move.ts';
import { MoveOvertaken } from '../move/errors.ts';
import { findMove } from '../move/move-records.ts';
import { nextHop } from '../move/next-hop.ts';

const state = z.object({ move: z.object({ moveId: z.uuid() }) });

export const phases = {
  /** Opens the next hop of the move, or says that all are done. */
  'next-hop': movePhase(state, (registry, { move }, _deadline, regions) =>
    nextHop(registry, move.moveId, regions),
  ),

  /** Gives the tenant its new tier and the move its report; the answer is the execution's output. */
  finish: movePhase(state, async (registry, { move: { moveId } }, _deadline, regions) => {
    const move = await findMove(registry, moveId);
    if (!move) throw new MoveOvertaken();
    return completeMove(registry, move, regions);
  }),
};

export const handler = moveTask(phases);
