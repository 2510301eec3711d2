import { type InferResult, sql } from 'kysely';
import { type DatabaseSize, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { type IsolationModel, isUuid, type TenantStatus, type Tier } from '../contracts/tenant.ts';
import { ResourceConflict, TenantBetweenRegions, TenantNotFound } from '../resources/errors.ts';
import type { RegistryExecutor } from './data-api.ts';
import { restoreFrom } from './lost-tenants.ts';
import { parseJson } from './registry-column.ts';
import { asNumber, asText, columnValue, rfc3339 } from './registry-expressions.ts';
import { type RegistrySql, registrySql } from './registry-sql.ts';

/** One tenant in the registry: its `tenants` row and the place in its `tenant_database_routing` row. */
export interface TenantRecord {
  tenantId: string;
  name: string;
  slug: string;
  tier: Tier;
  isolationModel: IsolationModel;
  status: TenantStatus;
  /** Why the tenant failed, may be shown to a client; null otherwise. */
  reason: string | null;
  dataResidency: string;
  complianceRequirements: string[];
  billingEmail: string | null;
  /** null: no limit. */
  maxUsers: number | null;
  /** GB; null: no limit. */
  maxStorageGb: number | null;
  /** Requests per second and burst; null: those of the tier. */
  requestRate: number | null;
  requestBurst: number | null;
  features: Record<string, unknown>;
  /** Account currency per month, at most two decimals. */
  monthlyRevenue: number | null;
  /** `YYYY-MM-DD`; null: the subscription has no end. */
  subscriptionEndDate: string | null;
  /** Why the tenant must not be erased, for operators only; null: it may be. */
  legalHold: string | null;
  /** Key of the region that holds the data, such as `us`. */
  region: string;
  /** URL of the region's API; null while the registry does not have it. */
  apiUrl: string | null;
  /** null for a dedicated database. */
  cellId: string | null;
  /** Of the tenant's dedicated database, or the one that its onboarding makes; null for another tenant. */
  databaseSize: DatabaseSize | null;
  /** Grows with every move; null until the place is decided. */
  epoch: number | null;
  /** The onboarding execution that works, or worked last, on the tenant. */
  executionArn: string | null;
  /** Of a clone: the id of the tenant that it was copied from. It is neither promoted nor billed. */
  cloneOf?: string;
  /** Of a tenant whose rows are lost: the id of the backup that brings them back. */
  restoreFrom?: string;
  /** RFC 3339, UTC. */
  createdAt: string;
  updatedAt: string;
}

/**
 * In bytes. A row of the Data API takes 64 KB: larger features, which an older version stored, would fail every
 * statement that reads the tenant. `readFeatures` reads them.
 */
const MAX_FEATURES_IN_ROW = 32_768;

/** The columns that `toTenantRecord` reads, for `tenants as t` with its route as `r` and its region as `g`. */
export const selectTenants = (db: RegistrySql) =>
  db
    .selectFrom('tenants as t')
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('regions as g', (join) =>
      join.on((eb) => eb('g.region_key', '=', eb.fn.coalesce('r.region', 't.home_region'))),
    )
    .select(['t.tenant_id', 't.tenant_name', 't.tenant_slug', 't.subscription_tier', 't.isolation_model'])
    .select(['t.status', 't.status_reason', 't.billing_email'])
    .select(['t.max_users', 't.max_storage_gb', 'g.api_url', 'r.cell_id', 'r.epoch', 't.execution_arn'])
    .select(['t.request_rate', 't.request_burst', 't.subscription_end_date', 't.legal_hold'])
    .select(['t.clone_of', 't.database_size', restoreFrom.as('restore_from')])
    .select((eb) => {
      const features = asText(eb.ref('t.features'));
      const bytes = sql<number>`octet_length(${features})`;
      return [
        eb.case().when(bytes, '<=', sql.lit(MAX_FEATURES_IN_ROW)).then(features).end().as('features'),
        // Size of features that the row leaves out.
        eb.case().when(bytes, '>', sql.lit(MAX_FEATURES_IN_ROW)).then(bytes).end().as('large_features_bytes'),
        asText(eb.ref('t.compliance_requirements')).as('compliance_requirements'),
        asNumber(eb.ref('t.monthly_revenue')).as('monthly_revenue'),
        eb.ref('t.data_residency').$notNull().as('data_residency'),
        eb.fn.coalesce('r.region', 't.home_region').as('region'),
        rfc3339(eb.ref('t.created_at'), 'MS').as('created_at'),
        rfc3339(eb.ref('t.updated_at'), 'MS').as('updated_at'),
      ];
    });

export type TenantRow = InferResult<ReturnType<typeof selectTenants>>[number];

/** The column of `tenants` by which the reference names a tenant: id or slug. */
export function referenceColumn(reference: string): 'tenant_id' | 'tenant_slug' {
  return isUuid(reference) ? 'tenant_id' : 'tenant_slug';
}

export function toTenantRecord(row: TenantRow): TenantRecord {
  return {
    tenantId: row.tenant_id,
    name: row.tenant_name,
    slug: row.tenant_slug,
    tier: row.subscription_tier,
    isolationModel: row.isolation_model,
    status: row.status,
    reason: row.status_reason,
    dataResidency: row.data_residency,
    complianceRequirements: row.compliance_requirements ? parseJson(row.compliance_requirements) : [],
    billingEmail: row.billing_email,
    maxUsers: row.max_users,
    maxStorageGb: row.max_storage_gb,
    requestRate: row.request_rate,
    requestBurst: row.request_burst,
    features: row.features ? parseJson(row.features) : {},
    monthlyRevenue: row.monthly_revenue,
    subscriptionEndDate: row.subscription_end_date,
    legalHold: row.legal_hold,
    region: row.region,
    apiUrl: row.api_url,
    cellId: row.cell_id,
    databaseSize: row.isolation_model === 'dedicated' ? (row.database_size ?? DEFAULT_DATABASE_SIZE) : null,
    epoch: row.epoch,
    executionArn: row.execution_arn,
    ...(row.clone_of === null ? {} : { cloneOf: row.clone_of }),
    ...(row.restore_from === null ? {} : { restoreFrom: row.restore_from }),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

const PART = 15_000;
const PARTS = 15;

/** Features of any size, read in parts that fit into a row of the Data API. */
export async function readFeatures(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<TenantRecord['features']> {
  let text = '';
  for (let first = 0; ; first += PARTS) {
    const { rows } = await sql<{ part: string }>`
      select substr(cast(t.features as text), cast(n * ${sql.lit(PART)} + 1 as integer), ${sql.lit(PART)}) as part
       from tenants as t, generate_series(${first}, ${first + PARTS - 1}) as n
       where t.tenant_id = ${columnValue('tenants.tenant_id', tenantId)} order by n`.execute(
      registrySql(registry),
    );
    const parts = rows.map(({ part }) => part);
    text += parts.join('');
    if ((parts.at(-1) ?? '') === '') return JSON.parse(text || '{}') as TenantRecord['features'];
  }
}

/**
 * The tenant of an id or a slug, in the registry of its region.
 * @throws {TenantNotFound}
 * @throws {TenantBetweenRegions} it was handed over to another registry since the look-up, or has not arrived yet.
 */
export async function getTenant(
  registry: RegistryExecutor,
  reference: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<TenantRecord> {
  const row = await selectTenants(registrySql(registry))
    .where(`t.${referenceColumn(reference)}`, '=', reference)
    .$if(lock, (tenant) => tenant.forUpdate('t'))
    .executeTakeFirst();
  if (!row) throw new TenantNotFound(reference);
  if (row.status === 'elsewhere' || row.status === 'arriving') {
    throw new TenantBetweenRegions(`the tenant is ${row.status}`);
  }
  return complete(registry, row);
}

/**
 * An erased tenant takes nothing up: what is written about it after its erasure is in no certificate, and nothing erases it.
 * Exact while the caller holds the lock on the tenant, under which an erasure begins.
 * @throws {ResourceConflict}
 */
export function requireNotErased({ status }: Pick<TenantRecord, 'status'>): void {
  if (status === 'offboarded')
    throw new ResourceConflict('The tenant is offboarded, and its data is erased.');
}

/** With features of any size. */
export async function complete(registry: RegistryExecutor, row: TenantRow): Promise<TenantRecord> {
  const tenant = toTenantRecord(row);
  if (row.large_features_bytes === null) return tenant;
  return { ...tenant, features: await readFeatures(registry, tenant.tenantId) };
}
