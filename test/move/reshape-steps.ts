import { catchUpReshape } from '../../functions/move/reshape/catch-up-reshape.ts';
import { copyReshape } from '../../functions/move/reshape/copy-reshape.ts';
import { cutOverReshape } from '../../functions/move/reshape/cut-over-reshape.ts';
import { indexReshape } from '../../functions/move/reshape/index-reshape.ts';
import { prepareReshape } from '../../functions/move/reshape/prepare-reshape.ts';
import type { StepLog } from './hop-world.ts';

/** The steps of a reshape in their order. */
export const reshapeSteps = {
  prepare: prepareReshape,
  copy: copyReshape,
  index: indexReshape,
  'catch-up': catchUpReshape,
  'cut-over': cutOverReshape,
} as const;

export async function reshape(log: StepLog): Promise<void> {
  for (const step of Object.values(reshapeSteps)) await log.run(step);
}
