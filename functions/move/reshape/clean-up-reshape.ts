import type { Hop } from '../hop.ts';

export async function cleanUpReshape(_hop: Hop, _deadline: number): Promise<{ done: boolean }> {
  throw new Error('not written yet');
}
