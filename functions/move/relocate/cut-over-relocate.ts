import type { Step } from '../hop.ts';

export const cutOverRelocate: Step = async () => {
  throw new Error('not written yet');
};
