import type { Step } from '../hop.ts';

export const catchUpRelocate: Step = async () => {
  throw new Error('not written yet');
};
