import { launchSettings } from '../middleware/launch-settings.ts';
import { moveTask } from '../middleware/move-task.ts';
import { launchTarget } from '../move/target/launch-target.ts';

/** Creates the tenant's dedicated database, or finds it; called until it is ready. */
export const handler = moveTask('launch', (context, cursor, registry) =>
  launchTarget(registry, context, launchSettings(), cursor),
);
