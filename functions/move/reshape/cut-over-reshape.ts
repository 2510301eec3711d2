import type { Step } from '../hop.ts';

export const cutOverReshape: Step = async () => {
  throw new Error('not written yet');
};
