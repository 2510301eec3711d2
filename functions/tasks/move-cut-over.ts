import { moveTask } from '../middleware/move-task.ts';
import { cutOver } from '../move/steps.ts';

/** Pauses the tenant's writes, brings the last of them over, and commits the move. */
export const handler = moveTask('cut-over', cutOver);
