import { moveTask } from '../middleware/move-task.ts';
import { bootstrapTarget } from '../move/target/bootstrap-target.ts';

/** Prepares the dedicated database for a tenant. */
export const handler = moveTask('bootstrap', bootstrapTarget);
