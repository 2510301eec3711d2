import type { Step } from '../hop.ts';

export const indexReshape: Step = async () => {
  throw new Error('not written yet');
};
