import type { Hop } from '../hop.ts';

export async function rollBackReshape(_hop: Hop): Promise<void> {
  throw new Error('not written yet');
}
