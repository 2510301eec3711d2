import type { DataApi } from '../database/registry/data-api.ts';

export async function finishMove(_registry: DataApi, _moveId: string): Promise<unknown> {
  throw new Error('placeholder');
}
