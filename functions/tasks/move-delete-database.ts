import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { deleteLeftDatabase } from '../move/delete-left-database.ts';

const state = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }),
});

/** Deletes the dedicated database that the tenant has left, unless the tenant uses it again; called until it is gone. */
export const handler = moveStateTask(state, (registry, { executionArn, move }, deadline) =>
  deleteLeftDatabase(registry, { ...move, executionArn }, deadline),
);
