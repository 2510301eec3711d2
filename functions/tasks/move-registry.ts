/** The phases of `tenant-move` that need the registries only. */
import * as z from 'zod';
import { endMove } from '../moves/end-move.ts';
import { nextHop } from '../moves/next-hop.ts';
import { movePhase, moveTask } from './move-task.ts';

const state = z.object({ move: z.object({ moveId: z.uuid() }) });

export const phases = {
  /** Opens the next hop of the move, or says that all are done. */
  'next-hop': movePhase(state, (registry, { move }, _deadline, regions) =>
    nextHop(registry, move.moveId, regions),
  ),

  /** Gives the tenant its new tier and the move its report; the answer is the execution's output. */
  finish: movePhase(state, (registry, { move: { moveId } }, _deadline, regions) =>
    endMove(registry, moveId, { regions }),
  ),
};

export const handler = moveTask(phases);
