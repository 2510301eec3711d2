import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import {
  referenceColumn,
  selectTenants,
  type TenantRecord,
  toTenantRecord,
} from '../registry/tenant-record.ts';
import type { Spot } from './plan.ts';

/** A tenant as far as moves mind it. */
export interface MovingTenant extends TenantRecord {
  /** Where its routing row points; null while it has none. */
  readonly spot: Spot | null;
}

/** The tenant of an id or a slug; with `lock`, moves of it take turns until the transaction ends. */
export async function findMovingTenant(
  registry: RegistryExecutor,
  reference: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<MovingTenant | undefined> {
  const row = await selectTenants(registrySql(registry))
    .select('r.isolation_model as placed_as')
    .where(`t.${referenceColumn(reference)}`, '=', reference)
    .$if(lock, (tenant) => tenant.forUpdate('t'))
    .executeTakeFirst();
  if (!row) return undefined;
  const { cell_id: cellId, region, placed_as: isolationModel } = row;
  return { ...toTenantRecord(row), spot: isolationModel && { isolationModel, cellId, region } };
}
