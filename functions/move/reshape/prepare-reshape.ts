import type { Step } from '../hop.ts';

export const prepareReshape: Step = async () => {
  throw new Error('not written yet');
};
