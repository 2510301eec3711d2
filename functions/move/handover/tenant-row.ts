import type { RegistryExecutor } from '../../registry/data-api.ts';
import { readFeatures, type TenantStatus } from '../../registry/tenant-record.ts';
import { type Place, schemaVersionOf } from '../hop.ts';

/** A row of `tenants` as JSON: the registries of two regions may be of different versions for a while. */
export type TenantRow = Readonly<Record<string, unknown>> & { readonly tenant_name: string };

/** All that is a tenant's own; `updated_at` is the registry's. */
const COLUMNS = [
  ...['tenant_name', 'tenant_slug', 'isolation_model', 'schema_name', 'subscription_tier', 'status'],
  ...['status_reason', 'execution_arn', 'admin_email', 'created_at', 'billing_email'],
  ...['subscription_start_date', 'subscription_end_date', 'monthly_revenue', 'max_users', 'max_storage_gb'],
  ...['features', 'data_residency', 'compliance_requirements', 'home_region'],
];

/** Locked until the transaction ends. */
export async function lockTenantRow(
  transaction: RegistryExecutor,
  tenantId: string,
): Promise<TenantRow | undefined> {
  const [row] = await transaction.query<{ tenant: string; has_features: boolean }>(
    `SELECT (to_jsonb(t) - 'features')::text AS tenant, features IS NOT NULL AS has_features
     FROM tenants t WHERE tenant_id = :tenantId::uuid FOR UPDATE`,
    { tenantId },
  );
  if (!row) return undefined;
  // Apart, since those that an older version stored may be larger than a row of the Data API.
  const features = row.has_features ? await readFeatures(transaction, tenantId) : null;
  return { ...(JSON.parse(row.tenant) as TenantRow), features };
}

/** Writes the row as it is given, over what is there. */
export async function writeTenantRow(transaction: RegistryExecutor, row: TenantRow): Promise<void> {
  const columns = COLUMNS.join(', ');
  await transaction.query(
    `INSERT INTO tenants (tenant_id, ${columns}, updated_at)
     SELECT tenant_id, ${columns}, now() FROM jsonb_populate_record(NULL::tenants, :row::jsonb)
     ON CONFLICT (tenant_id) DO UPDATE
     SET (${columns}, updated_at) = ROW(${COLUMNS.map((name) => `excluded.${name}`).join(', ')}, now())`,
    { row: JSON.stringify(row) },
  );
}

/** Where the tenant is in this region, or will be; over what is there. */
export async function writeRoute(
  transaction: RegistryExecutor,
  tenantId: string,
  place: Place,
): Promise<void> {
  await transaction.query('DELETE FROM tenant_database_routing WHERE tenant_id = :tenantId::uuid', {
    tenantId,
  });
  await transaction.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name,
            connection_pool_size, read_replica_host, cell_id, cluster_arn, isolation_model, role_name, secret_arn,
            epoch, region, writer_host, stack_name, schema_version)
     VALUES (:tenantId::uuid, :host, :port::int, :database, :schemaName, :poolSize::int, :readerHost, :cellId,
             :clusterArn, :isolationModel, :roleName, :secretArn, :epoch::bigint, :region, :writerHost, :stackName,
             :schemaVersion::int)`,
    {
      ...{ tenantId, host: place.host, port: place.port, database: place.database },
      ...{ schemaName: place.schemaName, poolSize: place.poolSize, readerHost: place.readerHost },
      ...{ cellId: place.cellId, clusterArn: place.clusterArn, isolationModel: place.isolationModel },
      ...{ roleName: place.roleName, secretArn: place.secretArn, epoch: place.epoch, region: place.region },
      ...{ writerHost: place.writerHost, stackName: place.stackName },
      schemaVersion: schemaVersionOf({ target: place }),
    },
  );
}

/**
 * Leaves of a tenant what a registry keeps of those of other regions: id, slug and region. Only while it has one of
 * these states. The history of its moves stays; who moved it is an operator.
 */
export async function becomeElsewhere(
  transaction: RegistryExecutor,
  tenantId: string,
  regionKey: string,
  from: readonly TenantStatus[],
): Promise<void> {
  const [changed] = await transaction.query(
    `UPDATE tenants SET status = 'elsewhere', tenant_name = tenant_id::text, status_reason = NULL, admin_email = NULL,
            billing_email = NULL, subscription_start_date = NULL, subscription_end_date = NULL, monthly_revenue = NULL,
            features = NULL, compliance_requirements = '[]', schema_name = NULL, execution_arn = NULL,
            data_residency = :regionKey, home_region = :regionKey, updated_at = now()
     WHERE tenant_id = :tenantId::uuid AND status = ANY (string_to_array(:from, ','))
     RETURNING tenant_id`,
    { tenantId, regionKey, from: from.join(',') },
  );
  if (!changed) return;
  for (const table of [
    'tenant_users',
    'tenant_database_routing',
    'usage_samples',
    'promotion_decisions',
    'tenant_offers',
  ]) {
    await transaction.query(`DELETE FROM ${table} WHERE tenant_id = :tenantId::uuid`, { tenantId });
  }
}
