import type { DataApi } from '../database/registry/data-api.ts';

export async function beginMove(
  _registry: DataApi,
  _input: unknown,
  _executionArn: string,
): Promise<{ moveId: string; tenantId: string }> {
  throw new Error('placeholder');
}
