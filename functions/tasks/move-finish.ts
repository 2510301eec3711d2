import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { finishMove } from '../move/finish-move.ts';

const state = z.object({ move: z.object({ moveId: z.uuid() }) });

/** Gives the tenant its new tier and the move its report; what it answers is the execution's output. */
export const handler = moveStateTask(state, (registry, { move }) => finishMove(registry, move.moveId));
