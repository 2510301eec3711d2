import { catchUpReshape } from '../../functions/moves/reshape/catch-up-reshape.ts';
import { copyReshape } from '../../functions/moves/reshape/copy-reshape.ts';
import { cutOverReshape } from '../../functions/moves/reshape/cut-over-reshape.ts';
import { indexReshape } from '../../functions/moves/reshape/index-reshape.ts';
import { prepareReshape } from '../../functions/moves/reshape/prepare-reshape.ts';
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
