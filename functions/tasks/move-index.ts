import { moveTask } from '../middleware/move-task.ts';
import { index } from '../move/steps.ts';

/** Builds at the target what a copy is quicker without: indexes, foreign keys, capture. */
export const handler = moveTask('index', index);
