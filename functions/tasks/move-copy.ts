import { moveTask } from '../middleware/move-task.ts';
import { copy } from '../move/steps.ts';

/** Copies the tenant's rows while it goes on working. */
export const handler = moveTask('copy', copy);
