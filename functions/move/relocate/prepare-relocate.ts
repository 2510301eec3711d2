import type { Step } from '../hop.ts';

export const prepareRelocate: Step = async () => {
  throw new Error('not written yet');
};
