import type { Step } from '../hop.ts';

export const copyReshape: Step = async () => {
  throw new Error('not written yet');
};
