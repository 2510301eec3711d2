import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { finishMove } from '../move/finish-move.ts';
import { goOnward } from '../move/handover/go-onward.ts';

const state = z.object({ executionArn: z.string().min(1), move: z.object({ moveId: z.uuid() }) });

/** Gives the tenant its new tier and the move its report; what it answers is the execution's output. */
export const handler = moveStateTask(state, async (registry, { move, executionArn }, _deadline, regions) => {
  const finished = await finishMove(registry, move.moveId);
  const { onward, tenantId, report } = finished;
  if (!onward) return finished;
  const moved = { moveId: move.moveId, tenantId, startedBy: report.startedBy };
  return { ...finished, onward: await goOnward(regions, moved, onward, executionArn) };
});
