import { moveTask } from '../middleware/move-task.ts';
import { compare } from '../move/steps.ts';

/** Compares both places, without what was written since the commit. */
export const handler = moveTask('compare', compare);
