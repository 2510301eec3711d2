import { moveTask } from '../middleware/move-task.ts';
import { registerWithProxy } from '../move/target/register-with-proxy.ts';

/** Makes the target cell's proxy accept the tenant's new secret. */
export const handler = moveTask('proxy', (context, _cursor, registry) =>
  registerWithProxy(registry, context),
);
