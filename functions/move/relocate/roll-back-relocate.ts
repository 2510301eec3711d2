import type { Hop } from '../hop.ts';

export async function rollBackRelocate(_hop: Hop): Promise<void> {
  throw new Error('not written yet');
}
