import { moveTask } from '../middleware/move-task.ts';
import { announceSecret } from '../move/handover/announce-arrival.ts';
import { crossesBorder } from '../move/regions.ts';
import { registerWithProxy } from '../move/target/register-with-proxy.ts';

/** Makes the target cell's proxy accept the tenant's new secret. */
export const handler = moveTask('proxy', async (context, _cursor, registry, regions) => {
  const { hop } = context;
  if (!crossesBorder(hop)) return registerWithProxy(registry, context);
  const there = regions.of(hop.target.region);
  await announceSecret(there, hop);
  return registerWithProxy(there, context);
});
