import type { Step } from '../hop.ts';

export const indexRelocate: Step = async () => {
  throw new Error('not written yet');
};
