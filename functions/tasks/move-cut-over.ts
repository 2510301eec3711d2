import { moveTask } from '../middleware/move-task.ts';
import { followHop } from '../move/follow-hop.ts';
import { crossesBorder } from '../move/regions.ts';
import { cutOver } from '../move/steps.ts';

/** Pauses the tenant's writes, brings the last of them over, and commits the move. */
export const handler = moveTask('cut-over', async (context, cursor, registry, regions) => {
  const outcome = await cutOver(context, cursor);
  // Requests are sent to the other region from the commit on: it has to know the tenant at once.
  if (outcome.done && crossesBorder(context.hop)) await followHop(registry, context.hop, { regions });
  return outcome;
});
