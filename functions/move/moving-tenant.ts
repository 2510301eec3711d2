import type { RegistryExecutor } from '../registry/data-api.ts';
import {
  type IsolationModel,
  type TenantRecord,
  type TenantRow,
  tenantColumns,
  tenantSource,
  toTenantRecord,
} from '../registry/tenant-record.ts';
import type { Spot } from './plan.ts';

/** A tenant as far as moves mind it. */
export interface MovingTenant extends TenantRecord {
  /** Where its routing row points; null while it has none. */
  readonly spot: Spot | null;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The tenant of an id or a slug; with `lock`, moves of it take turns until the transaction ends. */
export async function findMovingTenant(
  registry: RegistryExecutor,
  reference: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<MovingTenant | undefined> {
  const where = UUID.test(reference) ? 't.tenant_id = :reference::uuid' : 't.tenant_slug = :reference';
  const [row] = await registry.query<TenantRow & { placed_as: IsolationModel | null }>(
    `SELECT ${tenantColumns}, r.isolation_model AS placed_as FROM ${tenantSource}
     WHERE ${where} ${lock ? 'FOR UPDATE OF t' : ''}`,
    { reference },
  );
  if (!row) return undefined;
  const { cell_id: cellId, region, placed_as: isolationModel } = row;
  return { ...toTenantRecord(row), spot: isolationModel && { isolationModel, cellId, region } };
}

/** A caller that dies inside a transaction must not hold its locks for the Data API's three minutes. */
export async function boundTransaction(transaction: RegistryExecutor): Promise<void> {
  await transaction.query(
    `SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '15s', true)`,
  );
}
