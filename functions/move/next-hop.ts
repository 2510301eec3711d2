import type { DataApi } from '../database/registry/data-api.ts';

export async function nextHop(
  _registry: DataApi,
  _moveId: string,
): Promise<{
  moveId: string;
  tenantId: string;
  hopIndex: number;
  finished: boolean;
  needsDatabase: boolean;
  needsSecret: boolean;
}> {
  throw new Error('placeholder');
}
