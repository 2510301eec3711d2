/**
 * Registry schema version 20: sizes of dedicated databases, and hosts for reading.
 *
 * - `tenants.database_size` is the size of the tenant's dedicated database, or of the one that its onboarding makes. Null
 *   is the usual size for a tenant with a dedicated database, because an earlier release that runs meanwhile does not
 *   write it, and nothing for another tenant.
 * - `tenant_database_routing.owner_secret_arn`: during a change of size a tenant has two dedicated databases, so the
 *   name of the owner's secret does not follow from the tenant's id. Null: the name from before there were sizes.
 * - `cells.reader_host` is the host of the proxy's read-only endpoint; null without readers.
 * - `regions.dedicated_sizes`: of each size, the parameters of the template. Null until that region's next deployment.
 *
 * `read_replica_host` had the cluster's own endpoint for readers, which functions that serve requests cannot reach.
 */
export const databaseSizeColumns: readonly string[] = [
  `ALTER TABLE tenants ADD COLUMN database_size text CHECK (database_size IN ('small', 'medium', 'large'))`,
  'ALTER TABLE tenant_database_routing ADD COLUMN owner_secret_arn text',
  'ALTER TABLE cells ADD COLUMN reader_host text',
  'ALTER TABLE regions ADD COLUMN dedicated_sizes jsonb',
  'UPDATE tenant_database_routing SET read_replica_host = NULL WHERE read_replica_host IS NOT NULL',
];
