import type { Hop } from '../hop.ts';

export async function finalizeRelocate(_hop: Hop): Promise<void> {
  throw new Error('not written yet');
}
