import { type Expression, type RawBuilder, sql } from 'kysely';
import { thisRelease } from '../database/provisioning/release.ts';
import { askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** A cell as its deployment describes it. */
export interface CellRegistration {
  readonly cellId: string;
  readonly region: string;
  readonly dataResidency: string;
  /** The proxy's endpoint, for requests. */
  readonly databaseHost: string;
  readonly databasePort: number;
  /** The proxy's read-only endpoint; null without readers. */
  readonly readerHost?: string | null;
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
  /** Of the shared tables, as the database reports it; this release's when absent. */
  readonly schemaVersion?: number;
  /** Of schema `tenancy`, as the database reports it; this release's when absent. */
  readonly tenancyVersion?: number;
}

/**
 * Registers the cell, or updates its row, and where its tenants' analytics are read. Its status (an operator may have closed it) and its proxy's lease stay as
 * they are.
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
    reader_host: cell.readerHost ?? null,
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
  await registrySql(registry)
    .updateTable('tenant_database_routing')
    .set({ read_replica_host: known.reader_host, updated_at: now })
    .where('cell_id', '=', cellId)
    .where('read_replica_host', 'is distinct from', known.reader_host)
    .execute();
}

/** For a move's plan: true when it ends with a schema in that cell. */
export const endsInSchemaOf = (plan: Expression<string>, cellId: Expression<string>): RawBuilder<boolean> =>
  sql`${plan} -> -1 -> 'to' @> jsonb_build_object('cellId', ${cellId}, 'isolationModel', 'schema')`;

/** A cell as an operator sees it. */
export interface CellView {
  readonly cellId: string;
  readonly region: string;
  readonly dataResidency: string;
  /** Only an `active` cell takes further tenants. */
  readonly status: 'active' | 'full' | 'draining';
  /** Tenants with rows in its shared tables. */
  readonly sharedTenants: number;
  /** Tenants with a schema, including those that are moving to one: each takes one of the proxy's secrets. */
  readonly schemaTenants: number;
  readonly maxSchemaTenants: number;
}

/** The cells of all regions with their contents: home's first, each region's by id. @throws {RegionUnavailable} */
export async function listCells(registries: Regions): Promise<CellView[]> {
  const lists = await askRegions(registries, registries.keys, readCells);
  return lists.flat();
}

async function readCells(registry: RegistryExecutor): Promise<CellView[]> {
  const rows = await registrySql(registry)
    .selectFrom('cells as c')
    .leftJoin('tenant_database_routing as r', 'r.cell_id', 'c.cell_id')
    .leftJoin('tenants as t', (join) =>
      join.onRef('t.tenant_id', '=', 'r.tenant_id').on('t.status', 'not in', ['offboarded', 'elsewhere']),
    )
    .select(['c.cell_id', 'c.region', 'c.data_residency', 'c.status', 'c.max_business_tenants'])
    .select((eb) => [
      eb.fn.count<number>('t.tenant_id').filterWhere('r.isolation_model', '=', 'shared').as('shared_tenants'),
      eb(
        eb.fn.count<number>('t.tenant_id').filterWhere('r.isolation_model', '=', 'schema'),
        '+',
        eb
          .selectFrom('tenant_moves as m')
          .innerJoin('tenant_database_routing as mr', 'mr.tenant_id', 'm.tenant_id')
          .select((each) => each.fn.countAll<number>().as('moves'))
          .where('m.status', '=', 'running')
          .where((each) => endsInSchemaOf(each.ref('m.plan'), each.ref('c.cell_id')))
          .where((each) =>
            each.or([
              each('mr.cell_id', 'is distinct from', each.ref('c.cell_id')),
              each('mr.isolation_model', '<>', 'schema'),
            ]),
          )
          .$asScalar()
          .$notNull(),
      ).as('schema_tenants'),
    ])
    .groupBy('c.cell_id')
    .orderBy('c.cell_id')
    .execute();
  return rows.map((row) => ({
    cellId: row.cell_id,
    region: row.region,
    dataResidency: row.data_residency,
    status: row.status,
    sharedTenants: row.shared_tenants,
    schemaTenants: row.schema_tenants,
    maxSchemaTenants: row.max_business_tenants,
  }));
}
