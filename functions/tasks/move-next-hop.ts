import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { nextHop } from '../move/next-hop.ts';

const state = z.object({ move: z.object({ moveId: z.uuid() }) });

/** Opens the next hop of the move, or says that all are done. */
export const handler = moveStateTask(state, (registry, { move }, _deadline, regions) =>
  nextHop(registry, move.moveId, regions),
);
