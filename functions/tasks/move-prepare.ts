import { moveTask } from '../middleware/move-task.ts';
import { prepare } from '../move/steps.ts';

/** Claims the tenant and makes its objects at the target, and what will bring the changes after the copy. */
export const handler = moveTask('prepare', prepare);
