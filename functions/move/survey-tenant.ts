import type { DataApi } from '../database/registry/data-api.ts';

export async function surveyTenant(_registry: DataApi, _tenantId: string): Promise<unknown> {
  throw new Error('placeholder');
}
