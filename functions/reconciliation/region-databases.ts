/**
 * The data databases of a region and their placements. The registry has the list of cells, CloudFormation that of
 * dedicated databases. Connections are kept while a page of tenants is compared, because a mend reads the placements
 * again under the tenant's lock. Nothing is ever written here.
 */
import type pg from 'pg';
import { logger } from '../aws/logger.ts';
import type { IsolationModel } from '../contracts/tenant.ts';
import { ddlTransaction } from '../database/ddl/ddl-connection.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { readTenancyVersion } from '../database/provisioning/tenancy-schema.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import { isConnectionLost, sqlStateOf } from '../database/session/sql-state.ts';
import { isolatedTablesVersion } from '../database/transfer/place-facts.ts';
import type { DedicatedDatabase } from '../places/dedicated-databases.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';

export interface CellDatabase extends OwnedDatabase {
  readonly kind: 'cell';
  readonly cellId: string;
  /** Host of the cell's proxy. */
  readonly host: string;
  /** Host of the proxy's read-only endpoint; null without readers. */
  readonly readerHost: string | null;
  readonly clusterArn: string;
  readonly starterSecretArn: string;
}

export interface TenantDatabase extends OwnedDatabase {
  readonly kind: 'dedicated';
  readonly dedicated: DedicatedDatabase;
}

export type DataDatabase = CellDatabase | TenantDatabase;

export const describeDatabase = (database: DataDatabase): string =>
  database.kind === 'cell' ? `cell ${database.cellId}` : 'its dedicated database';

/** A tenant's row of `tenancy.placement` in one database. */
export interface FoundPlacement {
  readonly database: DataDatabase;
  readonly epoch: number;
  readonly state: 'active' | 'fenced' | 'moved';
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
  readonly roleName: string;
  /** The attempt that has claimed the tenant. */
  readonly mover: string | null;
  /** If the tenant has moved to another region: that region. */
  readonly forwardRegion: string | null;
}

export interface TenantPlacements {
  readonly placements: readonly FoundPlacement[];
  /** Databases that could not be read; the tenant may be there. */
  readonly unreachable: readonly string[];
}

/** Opens a connection as the owner of the database. @throws the driver's, the network's or Secrets Manager's error. */
export type ConnectAsOwner = (database: OwnedDatabase) => Promise<pg.Client>;

export const connectAsOwner: ConnectAsOwner = ({
  writerHost: host,
  port,
  database,
  ownerSecret: secretArn,
}) => dataConnection({ host, port, database, secretArn });

/** The cells of a region, by id. */
export async function listCellDatabases(registry: RegistryExecutor, region: string): Promise<CellDatabase[]> {
  const rows = await registrySql(registry)
    .selectFrom('cells')
    .select(['cell_id', 'database_host', 'database_port', 'writer_host', 'database_name', 'cluster_arn'])
    .select(['owner_secret_arn', 'starter_secret_arn', 'reader_host'])
    .where('region', '=', region)
    .orderBy('cell_id')
    .execute();
  return rows.map((row) => ({
    kind: 'cell',
    cellId: row.cell_id,
    host: row.database_host,
    readerHost: row.reader_host,
    port: row.database_port,
    writerHost: row.writer_host,
    database: row.database_name,
    clusterArn: row.cluster_arn,
    ownerSecret: row.owner_secret_arn,
    starterSecretArn: row.starter_secret_arn,
  }));
}

export function tenantDatabaseOf(dedicated: DedicatedDatabase): TenantDatabase {
  const { writerHost, port, database, ownerSecret } = dedicated;
  return { kind: 'dedicated', dedicated, writerHost, port, database, ownerSecret };
}

/** SQLSTATEs of a database without schema `tenancy`: its bootstrap has not run. */
const NOT_BOOTSTRAPPED = ['3F000', '42P01'];
const ACTIVE_IN = `tenant_id, epoch, state, isolation_model, schema_name, role_name, mover, forward ->> 'region' as region`;

type Row = {
  readonly tenant_id: string;
  readonly epoch: string | number;
  readonly state: FoundPlacement['state'];
  readonly isolation_model: IsolationModel;
  readonly schema_name: string;
  readonly role_name: string;
  readonly mover: string | null;
  readonly region: string | null;
};

export class RegionDatabases {
  readonly cells: readonly CellDatabase[];
  /** By tenant: during a change of size, two. */
  readonly #dedicated = new Map<string, TenantDatabase[]>();
  readonly #connect: ConnectAsOwner;
  /** By database. undefined: the connection failed; it is not tried again, so the timeout is waited for only once. */
  readonly #connections = new Map<DataDatabase, Promise<pg.Client | undefined>>();

  constructor(
    cells: readonly CellDatabase[],
    dedicated: readonly DedicatedDatabase[],
    connect: ConnectAsOwner,
  ) {
    this.cells = cells;
    for (const one of dedicated) {
      const known = this.#dedicated.get(one.tenantId) ?? [];
      this.#dedicated.set(one.tenantId, [...known, tenantDatabaseOf(one)]);
    }
    this.#connect = connect;
  }

  async unreachableCells(): Promise<CellDatabase[]> {
    const connections = await Promise.all(this.cells.map((cell) => this.#connection(cell)));
    return this.cells.filter((_cell, index) => connections[index] === undefined);
  }

  /** The lowest ids after `after` of tenants in each cell; in no order. */
  async tenantsAfter(after: string | undefined, limit: number): Promise<string[]> {
    const lists = await Promise.all(
      this.cells.map((cell) =>
        this.#query(cell, async (client) => {
          const { rows } = await client.query<{ tenant_id: string }>(
            `select tenant_id from tenancy.placement where $1::uuid is null or tenant_id > $1
             order by tenant_id limit $2`,
            [after ?? null, limit],
          );
          return rows.map(({ tenant_id: tenantId }) => tenantId);
        }),
      ),
    );
    return lists.flatMap((list) => list ?? []);
  }

  /** The placements of tenants in all databases that may have them. */
  async placementsOf(tenantIds: readonly string[]): Promise<Map<string, TenantPlacements>> {
    const placements = new Map(tenantIds.map((id) => [id, [] as FoundPlacement[]]));
    const unreachable = new Map(tenantIds.map((id) => [id, [] as string[]]));
    const read = async (database: DataDatabase, ids: readonly string[]) => {
      const rows = await this.#query(database, async (client) => {
        const text = `select ${ACTIVE_IN} from tenancy.placement where tenant_id = any ($1::uuid[])`;
        return (await client.query<Row>(text, [ids])).rows;
      });
      if (!rows) for (const id of ids) unreachable.get(id)?.push(describeDatabase(database));
      for (const row of rows ?? []) placements.get(row.tenant_id)?.push(placementOf(database, row));
    };
    for (const cell of this.cells) await read(cell, tenantIds);
    for (const id of tenantIds) {
      for (const database of this.#dedicated.get(id) ?? []) await read(database, [id]);
    }
    return new Map(
      tenantIds.map((id) => [
        id,
        { placements: placements.get(id) ?? [], unreachable: unreachable.get(id) ?? [] },
      ]),
    );
  }

  /** Versions of the tables and of schema `tenancy`, for the routing row. @throws the driver's errors. */
  async versionsAt({ database, isolationModel, schemaName }: FoundPlacement): Promise<{
    readonly schemaVersion?: number;
    readonly tenancyVersion?: number;
  }> {
    // Shared tables: the registry keeps their versions with the cell.
    if (isolationModel === 'shared') return {};
    const client = await this.#connection(database);
    if (!client) throw new Error(`${describeDatabase(database)} cannot be reached`);
    const schemaVersion = await isolatedTablesVersion(client, schemaName);
    if (database.kind === 'cell') return { schemaVersion };
    return { schemaVersion, tenancyVersion: await ddlTransaction(client, readTenancyVersion) };
  }

  /** Ends the connections to dedicated databases, because later tenants do not need them. */
  async endDedicated(): Promise<void> {
    for (const [database, connection] of this.#connections) {
      if (database.kind !== 'dedicated') continue;
      this.#connections.delete(database);
      await (await connection)?.end().catch(() => {});
    }
  }

  async end(): Promise<void> {
    for (const connection of this.#connections.values()) await (await connection)?.end().catch(() => {});
    this.#connections.clear();
  }

  /** @returns undefined if the database cannot be reached. */
  async #query<Result>(
    database: DataDatabase,
    read: (client: pg.Client) => Promise<Result[]>,
  ): Promise<Result[] | undefined> {
    const client = await this.#connection(database);
    if (!client) return undefined;
    try {
      return await read(client);
    } catch (error) {
      if (NOT_BOOTSTRAPPED.includes(sqlStateOf(error) ?? '')) return [];
      if (!isConnectionLost(error)) throw error;
      logger.warn('the connection to a database was lost', {
        database: describeDatabase(database),
        error: error as Error,
      });
      this.#connections.set(database, Promise.resolve(undefined));
      await client.end().catch(() => {});
      return undefined;
    }
  }

  #connection(database: DataDatabase): Promise<pg.Client | undefined> {
    const known = this.#connections.get(database);
    if (known) return known;
    const connecting = this.#connect(database).catch((error: unknown) => {
      logger.warn('a database cannot be reached', {
        database: describeDatabase(database),
        error: error as Error,
      });
      return undefined;
    });
    this.#connections.set(database, connecting);
    return connecting;
  }
}

function placementOf(database: DataDatabase, row: Row): FoundPlacement {
  return {
    database,
    epoch: Number(row.epoch),
    state: row.state,
    isolationModel: row.isolation_model,
    schemaName: row.schema_name,
    roleName: row.role_name,
    mover: row.mover,
    forwardRegion: row.region,
  };
}
