import type { DataApi } from '../database/registry/data-api.ts';

export async function cleanUpHop(
  _registry: DataApi,
  _hop: { moveId: string; hopIndex: number },
  _deadline: number,
): Promise<{ done: boolean }> {
  throw new Error('placeholder');
}
