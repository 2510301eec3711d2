import type { Step } from '../hop.ts';

export const compareRelocate: Step = async () => {
  throw new Error('not written yet');
};
