import { launchSettings, regionOf } from '../middleware/launch-settings.ts';
import { moveTask } from '../middleware/move-task.ts';
import { crossesBorder } from '../move/regions.ts';
import { launchTarget } from '../move/target/launch-target.ts';

/** Creates the tenant's dedicated database, or finds it; called until it is ready. */
export const handler = moveTask('launch', async (context, cursor, registry, regions) => {
  const { hop } = context;
  const settings = crossesBorder(hop)
    ? (await regionOf(regions, hop.target.region)).launch()
    : launchSettings();
  return launchTarget(registry, context, settings, cursor, regions.of(hop.target.region));
});
