import type { RegistryExecutor } from './data-api.ts';

/** What the customer bought. */
export type Tier = 'starter' | 'business' | 'enterprise';
/** Where a tenant's rows live; see DESIGN, "Words". */
export type IsolationModel = 'shared' | 'schema' | 'dedicated';
/**
 * `arriving`: a move from another region is bringing the tenant. `elsewhere`: another region serves it, and only its id,
 * slug and region are kept here.
 */
export type TenantStatus =
  | 'provisioning'
  | 'active'
  | 'suspended'
  | 'failed'
  | 'offboarding'
  | 'offboarded'
  | 'arriving'
  | 'elsewhere';

/** One tenant as the registry knows it: its `tenants` row and where its `tenant_database_routing` row points. */
export interface TenantRecord {
  tenantId: string;
  name: string;
  slug: string;
  tier: Tier;
  isolationModel: IsolationModel;
  status: TenantStatus;
  /** Why the tenant failed, fit for a client; null otherwise. */
  reason: string | null;
  dataResidency: string;
  complianceRequirements: string[];
  billingEmail: string | null;
  /** null: no limit. */
  maxUsers: number | null;
  /** GB; null: no limit. */
  maxStorageGb: number | null;
  features: Record<string, unknown>;
  /** Account currency per month, at most two decimals. */
  monthlyRevenue: number | null;
  /** Key of the region that holds the data, such as `us`. */
  region: string;
  /** Where the region serves its tenants; null while the registry does not know it. */
  apiUrl: string | null;
  /** null for a dedicated database. */
  cellId: string | null;
  /** Grows with every move; null until the place is decided. */
  epoch: number | null;
  /** The onboarding execution that works, or last worked, on the tenant. */
  executionArn: string | null;
  /** RFC 3339, UTC. */
  createdAt: string;
  updatedAt: string;
}

/**
 * In bytes. A row of the Data API takes 64 KB: larger features, which an older version stored, would break every
 * statement that reads the tenant. `readFeatures` reads them.
 */
const MAX_FEATURES_IN_ROW = 32_768;

/**
 * Select list for `toTenantRecord`, for use with `tenantSource`. Times are rendered and JSON is cast in SQL, because
 * the Data API returns timestamps without their zone.
 */
export const tenantColumns = `
  t.tenant_id::text AS tenant_id, t.tenant_name, t.tenant_slug, t.subscription_tier, t.isolation_model, t.status,
  t.status_reason, t.data_residency, t.compliance_requirements::text AS compliance_requirements, t.billing_email,
  t.max_users, t.max_storage_gb, CASE WHEN octet_length(t.features::text) <= ${MAX_FEATURES_IN_ROW} THEN t.features::text END AS features,
  CASE WHEN octet_length(t.features::text) > ${MAX_FEATURES_IN_ROW} THEN octet_length(t.features::text) END
    AS large_features_bytes, t.monthly_revenue::float8 AS monthly_revenue,
  COALESCE(r.region, t.home_region) AS region, g.api_url, r.cell_id, r.epoch, t.execution_arn,
  to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at,
  to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS updated_at`;

/** FROM clause of `tenantColumns`. */
export const tenantSource = `tenants t LEFT JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
  LEFT JOIN regions g ON g.region_key = COALESCE(r.region, t.home_region)`;

/** A row of `tenantColumns`, as the Data API returns it. */
export interface TenantRow {
  tenant_id: string;
  tenant_name: string;
  tenant_slug: string;
  subscription_tier: Tier;
  isolation_model: IsolationModel;
  status: TenantStatus;
  status_reason: string | null;
  data_residency: string;
  compliance_requirements: string | null;
  billing_email: string | null;
  max_users: number | null;
  max_storage_gb: number | null;
  features: string | null;
  /** Of features that the row leaves out. */
  large_features_bytes: number | null;
  monthly_revenue: number | null;
  region: string;
  api_url: string | null;
  cell_id: string | null;
  epoch: number | string | null;
  execution_arn: string | null;
  created_at: string;
  updated_at: string;
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
    complianceRequirements: JSON.parse(row.compliance_requirements ?? '[]') as string[],
    billingEmail: row.billing_email,
    maxUsers: row.max_users,
    maxStorageGb: row.max_storage_gb,
    features: JSON.parse(row.features ?? '{}') as Record<string, unknown>,
    monthlyRevenue: row.monthly_revenue,
    region: row.region,
    apiUrl: row.api_url,
    cellId: row.cell_id,
    epoch: row.epoch === null ? null : Number(row.epoch),
    executionArn: row.execution_arn,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

const PART = 15_000;
const PARTS = 15;

/** Features of any size, in parts that the Data API takes. */
export async function readFeatures(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<TenantRecord['features']> {
  let text = '';
  for (let first = 0; ; first += PARTS) {
    const rows = await registry.query<{ part: string }>(
      `SELECT substr(t.features::text, n * ${PART} + 1, ${PART}) AS part
       FROM tenants t, generate_series(:first::integer, :last::integer) AS n
       WHERE t.tenant_id = :tenantId::uuid ORDER BY n`,
      { tenantId, first, last: first + PARTS - 1 },
    );
    const parts = rows.map(({ part }) => part);
    text += parts.join('');
    if ((parts.at(-1) ?? '') === '') return JSON.parse(text || '{}') as TenantRecord['features'];
  }
}
