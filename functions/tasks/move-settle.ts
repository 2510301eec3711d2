import { cleanUpStateMachine } from '../middleware/clean-up-settings.ts';
import { moveTask } from '../middleware/move-task.ts';
import { settleHop } from '../move/settle-hop.ts';
import { startCleanUp } from '../move/start-clean-up.ts';

/** Makes the registry follow the committed move, gives the tenant free, and has the place that it left cleaned up. */
export const handler = moveTask('settle', async (context, _cursor, registry, regions) => {
  await settleHop(registry, context, regions);
  await startCleanUp(registry, context.hop, cleanUpStateMachine());
  return { done: true };
});
