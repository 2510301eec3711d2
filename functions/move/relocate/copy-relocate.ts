import type { Step } from '../hop.ts';

export const copyRelocate: Step = async () => {
  throw new Error('not written yet');
};
