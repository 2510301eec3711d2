import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { finishMove } from '../move/finish-move.ts';
import { goOnward } from '../move/handover/go-onward.ts';

const state = z.object({ move: z.object({ moveId: z.uuid() }) });
const environment = z.object({ MOVE_STATE_MACHINE_ARN: z.string().min(1) });

/** Gives the tenant its new tier and the move its report; what it answers is the execution's output. */
export const handler = moveStateTask(state, async (registry, { move }, _deadline, regions) => {
  const finished = await finishMove(registry, move.moveId);
  const { MOVE_STATE_MACHINE_ARN: stateMachineArn } = environment.parse(process.env);
  const onward = await goOnward(regions, finished, stateMachineArn);
  return onward === undefined ? finished : { ...finished, onward };
});
