import { type Expression, type RawBuilder, sql } from 'kysely';
import { thisRelease } from '../database/provisioning/release.ts';
import type { RegistryExecutor } from './data-api.ts';
import { now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

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
  const { cellId, schemaVersion, tenancyVersion } = cell;
  const known = {
    region: cell.region,
    data_residency: cell.dataResidency,
    database_host: cell.databaseHost,
    database_port: cell.databasePort,
    writer_host: cell.writerHost,
    database_name: cell.databaseName,
    proxy_name: cell.proxyName,
    cluster_arn: cell.clusterArn,
    master_secret_arn: cell.masterSecretArn,
    owner_secret_arn: cell.ownerSecretArn,
    starter_role_name: cell.starterRoleName,
    starter_secret_arn: cell.starterSecretArn,
    max_business_tenants: cell.maxBusinessTenants,
    schema_version: schemaVersion ?? thisRelease.schemaVersion,
    tenancy_version: tenancyVersion ?? thisRelease.tenancyVersion,
  };
  await registrySql(registry)
    .insertInto('cells')
    .values({ cell_id: cellId, ...known })
    .onConflict((row) => row.column('cell_id').doUpdateSet({ ...known, updated_at: now }))
    .execute();
}

/** Of a move's plan: whether it ends with a schema in that cell. */
export const endsInSchemaOf = (plan: Expression<string>, cellId: Expression<string>): RawBuilder<boolean> =>
  sql`${plan} -> -1 -> 'to' @> jsonb_build_object('cellId', ${cellId}, 'isolationModel', 'schema')`;
