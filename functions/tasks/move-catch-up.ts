import { moveTask } from '../middleware/move-task.ts';
import { catchUp } from '../move/steps.ts';

/** Applies the changes since the copy, until the pause of a cut-over would be short. */
export const handler = moveTask('catch-up', catchUp);
