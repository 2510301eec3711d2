import * as z from 'zod';
import { moveTask } from '../middleware/move-task.ts';
import { settleHop } from '../move/settle-hop.ts';
import { startCleanUp } from '../move/start-clean-up.ts';

const settings = z.object({ MOVE_CLEANUP_STATE_MACHINE_ARN: z.string().min(1) });

/** Makes the registry follow the committed move, gives the tenant free, and has the place that it left cleaned up. */
export const handler = moveTask('settle', async (context, _cursor, registry) => {
  const { MOVE_CLEANUP_STATE_MACHINE_ARN } = settings.parse(process.env);
  await settleHop(context);
  await startCleanUp(registry, context.hop, MOVE_CLEANUP_STATE_MACHINE_ARN);
  return { done: true };
});
