import type { DataApi } from '../database/registry/data-api.ts';
import type { Hop } from './hop.ts';

export async function settleHop(
  _registry: Pick<DataApi, 'transaction' | 'query'>,
  _context: { readonly hop: Hop },
): Promise<void> {
  throw new Error('placeholder');
}
