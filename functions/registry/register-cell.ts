import { thisRelease } from '../database/provisioning/release.ts';
import type { RegistryExecutor } from './data-api.ts';

/** A cell as a deployment knows it. */
export interface CellRegistration {
  readonly cellId: string;
  readonly region: string;
  readonly dataResidency: string;
  /** The proxy's endpoint, where requests go. */
  readonly databaseHost: string;
  readonly databasePort: number;
  /** The cluster's own endpoint, for DDL and moves. */
  readonly writerHost: string;
  readonly databaseName: string;
  readonly proxyName: string;
  readonly clusterArn: string;
  readonly masterSecretArn: string;
  readonly ownerSecretArn: string;
  readonly starterRoleName: string;
  readonly starterSecretArn: string;
  readonly maxBusinessTenants: number;
  /** Of the shared tables, as the database says; this release's when absent. */
  readonly schemaVersion?: number;
  /** Of schema `tenancy`, as the database says; this release's when absent. */
  readonly tenancyVersion?: number;
}

/**
 * Makes the cell known, or brings what is known of it up to date. Its status (an operator may have closed it) and its
 * proxy's lease stay as they are.
 * @throws {RegistryError}
 */
export async function registerCell(registry: RegistryExecutor, cell: CellRegistration): Promise<void> {
  await registry.query(
    `INSERT INTO cells (cell_id, region, data_residency, database_host, database_port, writer_host, database_name,
                        proxy_name, cluster_arn, master_secret_arn, owner_secret_arn, starter_role_name,
                        starter_secret_arn, max_business_tenants, schema_version, tenancy_version)
     VALUES (:cellId, :region, :dataResidency, :databaseHost, :databasePort::int, :writerHost, :databaseName,
             :proxyName, :clusterArn, :masterSecretArn, :ownerSecretArn, :starterRoleName,
             :starterSecretArn, :maxBusinessTenants::int, :schemaVersion::int, :tenancyVersion::int)
     ON CONFLICT (cell_id) DO UPDATE SET
       region = excluded.region, data_residency = excluded.data_residency,
       database_host = excluded.database_host, database_port = excluded.database_port,
       writer_host = excluded.writer_host, database_name = excluded.database_name,
       proxy_name = excluded.proxy_name, cluster_arn = excluded.cluster_arn,
       master_secret_arn = excluded.master_secret_arn, owner_secret_arn = excluded.owner_secret_arn,
       starter_role_name = excluded.starter_role_name, starter_secret_arn = excluded.starter_secret_arn,
       max_business_tenants = excluded.max_business_tenants,
       schema_version = excluded.schema_version, tenancy_version = excluded.tenancy_version, updated_at = now()`,
    { schemaVersion: thisRelease.schemaVersion, tenancyVersion: thisRelease.tenancyVersion, ...cell },
  );
}
