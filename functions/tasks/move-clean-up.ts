import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { cleanUpHop } from '../move/clean-up-hop.ts';

const state = z.object({
  executionArn: z.string().min(1),
  move: z.object({ moveId: z.uuid(), hopIndex: z.int().nonnegative() }),
});

const environment = z.object({ KEEP_DEDICATED_DAYS: z.coerce.number().nonnegative() });

/** Drops what the tenant left at the place that it moved away from; called until all is gone. */
export const handler = moveStateTask(state, (registry, { move }, deadline) =>
  cleanUpHop(registry, move, { deadline, keepDays: environment.parse(process.env).KEEP_DEDICATED_DAYS }),
);
