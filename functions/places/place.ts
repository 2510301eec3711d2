/**
 * A place: a location of one tenant's data, past, present or planned. All operations that make, fill, verify or drop a
 * place take one of these, for whatever feature: onboarding makes a tenant's first place, a move the next one.
 *
 *   planned (`planPlace`: names only) ──operations of place-resources and place-database──▶ made ──▶ serving
 *   serving (the tenant's routing row names it: `findPlace`) ──the tenant moves on──▶ left ──▶ dropped
 *
 * Unknown fields of a planned place are null. Each operation returns its results as a part of the place; the caller
 * stores them with the place (onboarding in the routing row, a move in its hop).
 */
import { type DatabaseSize, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { DATA_DATABASE } from '../contracts/names.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import {
  dedicatedSecretName,
  dedicatedStackName,
  ownerSecretOf,
  tenantRoleName,
} from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { UnknownCell } from './errors.ts';

/** A location without its epoch: what a plan needs. */
export interface Location {
  readonly isolationModel: IsolationModel;
  /** null for a dedicated database. */
  readonly cellId: string | null;
  /** Key of the region, such as `us`. */
  readonly region: string;
  /** Of a dedicated database. Absent in plans and hops from before there were sizes: read it by `databaseSizeOf`. */
  readonly databaseSize?: DatabaseSize;
}

export interface Place extends Location {
  /**
   * The proxy's host, for requests. Null until a dedicated database exists, and so are port, writerHost and clusterArn.
   */
  readonly host: string | null;
  readonly port: number | null;
  /** Host of the cluster's writer, for the owner: DDL, moves, backups. */
  readonly writerHost: string | null;
  /** Host of the proxy's read-only endpoint, for analytics; null without readers. */
  readonly readerHost: string | null;
  readonly clusterArn: string | null;
  readonly database: string;
  readonly schemaName: string;
  readonly roleName: string;
  /** The login role's secret; null until it exists. */
  readonly secretArn: string | null;
  /** Name or ARN of the secret of the role that owns the database's schemas. */
  readonly ownerSecret: string;
  /** CloudFormation stack of a dedicated database. */
  readonly stackName: string | null;
  readonly poolSize: number;
  /** The tenant's epoch at this place. */
  readonly epoch: number;
  /**
   * Version of the tables. For a hop's target: the version of both places from `prepare` to the end of the hop, because
   * rollouts skip the tables of a claimed tenant. Absent before the schema exists, and in hops of older releases.
   */
  readonly schemaVersion?: number;
  /** Version of schema `tenancy` in a dedicated database, after its bootstrap. */
  readonly tenancyVersion?: number;
}

/** The version of all tables before there were rollouts. */
const FIRST_ROLLED_OUT = 2;

/** The version of the place's tables. */
export const tablesVersionOf = ({ schemaVersion }: Pick<Place, 'schemaVersion'>): number =>
  schemaVersion ?? FIRST_ROLLED_OUT;

export function sameLocation(one: Location, other: Location): boolean {
  return (
    one.isolationModel === other.isolationModel &&
    one.cellId === other.cellId &&
    one.region === other.region &&
    (one.isolationModel !== 'dedicated' || databaseSizeOf(one) === databaseSizeOf(other))
  );
}

/** The size of a dedicated database. */
export const databaseSizeOf = ({ databaseSize }: Pick<Location, 'databaseSize'>): DatabaseSize =>
  databaseSize ?? DEFAULT_DATABASE_SIZE;

/**
 * The tier for which such a place is sold. It decides the cost tags and the role's limits. During a move the registry
 * still has the tenant's former tier.
 */
export function tierOf({ isolationModel }: Pick<Place, 'isolationModel'>): Tier {
  const tiers = Object.keys(tierTerms) as Tier[];
  return tiers.find((tier) => tierTerms[tier].isolationModel === isolationModel)!;
}

/** The place in words that any operator may read. */
export function describePlace(place: Location): string {
  const { isolationModel, cellId, region } = place;
  if (isolationModel === 'dedicated') return `a dedicated database (${databaseSizeOf(place)}) in ${region}`;
  return `${isolationModel === 'shared' ? 'the shared tables' : 'a schema'} of cell ${cellId}`;
}

/** The place in the tenant's routing row; undefined when it has none. */
export async function findPlace(registry: RegistryExecutor, tenantId: string): Promise<Place | undefined> {
  const row = await registrySql(registry)
    .selectFrom('tenant_database_routing as r')
    .innerJoin('tenants as t', 't.tenant_id', 'r.tenant_id')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['r.isolation_model', 'r.cell_id', 'r.region', 'r.database_host', 'r.database_port'])
    .select(['r.read_replica_host', 'r.database_name', 'r.schema_name', 'r.secret_arn', 'r.stack_name'])
    .select(['r.connection_pool_size', 'r.epoch', 't.database_size'])
    .select((eb) => [
      eb.ref('r.role_name').$notNull().as('role_name'),
      eb.fn.coalesce('c.writer_host', 'r.writer_host').as('writer_host'),
      eb.fn.coalesce('c.cluster_arn', 'r.cluster_arn').as('cluster_arn'),
      eb.fn.coalesce('c.owner_secret_arn', 'r.owner_secret_arn').as('owner_secret_arn'),
    ])
    .where('r.tenant_id', '=', tenantId)
    .executeTakeFirst();
  if (!row) return undefined;
  return {
    isolationModel: row.isolation_model,
    cellId: row.cell_id,
    region: row.region,
    ...(row.isolation_model === 'dedicated'
      ? { databaseSize: row.database_size ?? DEFAULT_DATABASE_SIZE }
      : {}),
    host: row.database_host,
    port: row.database_port,
    writerHost: row.writer_host,
    readerHost: row.read_replica_host,
    clusterArn: row.cluster_arn,
    database: row.database_name,
    schemaName: row.isolation_model === 'shared' ? 'shared' : (row.schema_name ?? row.role_name),
    roleName: row.role_name,
    secretArn: row.secret_arn,
    ownerSecret: ownerSecretOf(row.owner_secret_arn, tenantId),
    stackName: row.stack_name,
    poolSize: row.connection_pool_size,
    epoch: row.epoch,
  };
}

export interface PlannedPlace {
  readonly tenantId: string;
  readonly location: Location;
  readonly epoch: number;
  /**
   * Suffix of the names of schema and role. It is used once: `<epoch>` by onboarding, `<epoch>a<number>` by the
   * attempts at a move, so that no two attempts share a name.
   */
  readonly suffix: string;
  readonly poolSize?: number;
}

const DEFAULT_POOL_SIZE = 10;

/**
 * A place that does not exist yet. Values that are known only after its creation (a secret, the hosts of a dedicated
 * database) are null.
 * @param registry of the place's region.
 * @throws {UnknownCell} the registry has no such cell.
 */
export async function planPlace(
  registry: RegistryExecutor,
  { tenantId, location, epoch, suffix, poolSize = DEFAULT_POOL_SIZE }: PlannedPlace,
): Promise<Place> {
  const { isolationModel, cellId, region } = location;
  const ownName = tenantRoleName(tenantId, suffix);
  const known = { isolationModel, cellId, region, poolSize, epoch };
  if (cellId === null) {
    const databaseSize = databaseSizeOf(location);
    return {
      ...known,
      databaseSize,
      readerHost: null,
      host: null,
      port: null,
      writerHost: null,
      clusterArn: null,
      database: DATA_DATABASE,
      schemaName: ownName,
      roleName: ownName,
      secretArn: null,
      ownerSecret: dedicatedSecretName(tenantId, 'owner', databaseSize),
      stackName: dedicatedStackName(tenantId, databaseSize),
    };
  }
  const cell = await registrySql(registry)
    .selectFrom('cells')
    .select(['database_host', 'database_port', 'writer_host', 'cluster_arn', 'database_name'])
    .select(['owner_secret_arn', 'starter_role_name', 'starter_secret_arn', 'reader_host'])
    .where('cell_id', '=', cellId)
    .executeTakeFirst();
  if (!cell) throw new UnknownCell();
  const isShared = isolationModel === 'shared';
  return {
    ...known,
    host: cell.database_host,
    port: cell.database_port,
    writerHost: cell.writer_host,
    readerHost: cell.reader_host,
    clusterArn: cell.cluster_arn,
    database: cell.database_name,
    schemaName: isShared ? 'shared' : ownName,
    roleName: isShared ? cell.starter_role_name : ownName,
    secretArn: isShared ? cell.starter_secret_arn : null,
    ownerSecret: cell.owner_secret_arn,
    stackName: null,
  };
}

/** Another schema of the tenant beside its present one, for the same role: in the same database, under the next epoch. */
export function placeBeside(place: Place, tenantId: string, suffix: string): Place {
  const { schemaVersion: _, ...known } = place;
  return { ...known, schemaName: tenantRoleName(tenantId, suffix), epoch: place.epoch + 1 };
}

/** The routing row's columns for a place. @throws {TypeError} the place has no address yet. */
export function routeTo(place: Place) {
  const { host, port } = place;
  if (host === null || port === null) throw new TypeError('the place has no address yet');
  return {
    isolation_model: place.isolationModel,
    cell_id: place.cellId,
    region: place.region,
    database_host: host,
    database_port: port,
    read_replica_host: place.readerHost,
    writer_host: place.writerHost,
    cluster_arn: place.clusterArn,
    database_name: place.database,
    schema_name: place.schemaName,
    role_name: place.roleName,
    secret_arn: place.secretArn,
    stack_name: place.stackName,
    // A cell has its own.
    owner_secret_arn: place.cellId === null ? place.ownerSecret : null,
    connection_pool_size: place.poolSize,
    epoch: place.epoch,
    schema_version: tablesVersionOf(place),
    ...(place.tenancyVersion === undefined ? {} : { tenancy_version: place.tenancyVersion }),
  };
}

/**
 * The forward: the routing columns of the new placement, which the hop's source database returns to requests that still
 * arrive there.
 */
export function forwardTo(target: Place): Record<string, unknown> {
  return {
    epoch: target.epoch,
    isolation_model: target.isolationModel,
    region: target.region,
    database_host: target.host,
    database_port: target.port,
    read_replica_host: target.readerHost,
    database_name: target.database,
    secret_arn: target.secretArn,
    connection_pool_size: target.poolSize,
    ...(target.schemaVersion === undefined ? {} : { schema_version: target.schemaVersion }),
  };
}
