import tls from 'node:tls';
import { placeTenant } from '../../functions/database/provisioning/place-tenant.ts';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import type { CredentialSource, Credentials } from '../../functions/database/session/credentials.ts';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { type DirectoryOptions, TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../functions/placement/tenant-router.ts';
import { type CellRegistration, registerCell } from '../../functions/registry/cells.ts';
import type { RegistryExecutor, RegistryParameters } from '../../functions/registry/data-api.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { type Login, TestDatabase, type TestTenant } from '../test-database.ts';
import { type Pooler, poolerInstalled, startPooler } from './pooler.ts';

const CELL = 'us-1';

export type Model = 'shared' | 'schema' | 'dedicated';

export interface WorldTenant extends TestTenant {
  readonly access: TenantAccess;
  readonly database: TestDatabase;
}

export interface World {
  readonly tenants: readonly WorldTenant[];
  readonly registry: RegistryExecutor;
  /** The registry on a connection of its own, with transactions. */
  ownRegistry(): Promise<RegistryOverPostgres>;
  readonly cell: TestDatabase;
  /** True where requests go through PgBouncer. */
  readonly pooled: boolean;
  /** What another execution environment has: caches and connections of its own. */
  container(options?: ContainerOptions): Container;
  /** Another tenant in the cell, with caches of its own. Only where they are not pooled. */
  addTenant(model: 'shared' | 'schema'): Promise<WorldTenant>;
  /** Lets containers sign in as a role that came later. Only where they are not pooled. */
  addLogin(login: Login): void;
  /** A second home for a tenant that has a schema, as a relocation would leave it behind. */
  addHome(tenant: TestTenant, epoch: number): Promise<Home>;
  end(): Promise<void>;
}

export interface Container {
  readonly directory: TenantDirectory;
  readonly router: TenantRouter;
  access(tenant: Pick<TestTenant, 'tenantId'>): TenantAccess;
  /** Closes its connections; the end of the world does so too. */
  end(): Promise<void>;
}

export interface ContainerOptions extends DirectoryOptions {
  /** Of the region that it runs in, where there are several. */
  readonly regionKey?: string;
  /** The world's one where absent. */
  readonly registry?: RegistryExecutor;
}

export interface WorldOptions {
  /** Through PgBouncer where it is installed; false: straight to the server. */
  readonly pooled?: boolean;
  readonly poolSize?: number;
  readonly pipeline?: boolean;
  readonly patienceMs?: number;
  /** Puts something in front of the port that requests connect to; answers its own port. */
  readonly relay?: (port: number) => Promise<number>;
}

export interface Home {
  readonly database: TestDatabase;
  readonly schemaName: string;
  /** What the former home tells of it. */
  readonly forward: Record<string, unknown>;
}

/**
 * Tenants of all three models behind the router of production: a cell, a database of its own for each dedicated
 * tenant, a registry, and in front of them PgBouncer with `poolSize` connections per role where it is installed.
 */
export async function createWorld(
  perModel: number,
  { poolSize = 2, pipeline = true, patienceMs = 10_000, pooled = true, relay }: WorldOptions = {},
): Promise<World> {
  const cell = await TestDatabase.clone();
  const databases = [cell];
  const placed: { tenant: TestTenant; database: TestDatabase }[] = [];
  for (let n = 0; n < perModel; n++) {
    for (const model of ['shared', 'schema', 'dedicated'] as const) {
      const database = model === 'dedicated' ? await TestDatabase.clone() : cell;
      if (database !== cell) databases.push(database);
      placed.push({ tenant: await database.addTenant(model), database });
    }
  }
  const registryDatabase = await TestDatabase.cloneRegistry();
  databases.push(registryDatabase);
  const registry = inTurn(await registryDatabase.registry());

  await registerCell(registry, cellRegistration(cell));

  const logins = new Map(placed.map(({ tenant }) => [tenant.login.user, tenant.login]));
  const { port: serverPort, certificate } = cell.server;
  const pooler: Pooler | undefined =
    pooled && poolerInstalled ? await startPooler(serverPort, [...logins.values()], poolSize) : undefined;
  tls.setDefaultCACertificates([...tls.rootCertificates, pooler?.certificate ?? certificate]);
  const entrance = pooler?.port ?? serverPort;
  const port = relay ? await relay(entrance) : entrance;
  for (const { tenant, database } of placed) {
    await register(registry, tenant, database.name, port);
  }
  const opened: DatabasePools[] = [];
  const container = ({ regionKey, registry: own, ...options }: ContainerOptions = {}): Container => {
    const pools = new DatabasePools(new KnownLogins(logins), { cap: 40, pipeline });
    opened.push(pools);
    const directory = new TenantDirectory(own ?? registry, options);
    const router = new TenantRouter(directory, pools, { patienceMs, regionKey });
    return {
      directory,
      router,
      access: ({ tenantId }) => new TenantAccess(tenantId, tenantId, router),
      end: () => pools.end(),
    };
  };
  const first = container();
  return {
    tenants: placed.map(({ tenant, database }) => ({
      ...tenant,
      database,
      access: first.access(tenant),
    })),
    registry,
    ownRegistry: () => registryDatabase.registry(),
    cell,
    pooled: pooler !== undefined,
    container,
    async addTenant(model) {
      const tenant = await cell.addTenant(model);
      logins.set(tenant.login.user, tenant.login);
      await register(registry, tenant, cell.name, port);
      return { ...tenant, database: cell, access: container().access(tenant) };
    },
    addLogin: (login) => logins.set(login.user, login),
    async addHome(tenant, epoch) {
      const database = await TestDatabase.clone();
      databases.push(database);
      const owner = await database.connect('owner');
      const { tenantId, schemaName, roleName } = tenant;
      await createTenantSchema(owner, {
        tenantId,
        schemaName,
        roleName,
        password: tenant.login.password,
        connectionLimit: 20,
      });
      const isolationModel = 'dedicated' as const;
      await placeTenant(owner, { tenantId, epoch, isolationModel, schemaName, roleName });
      const forward = {
        epoch,
        isolation_model: isolationModel,
        region: 'us',
        secret_arn: roleName,
        database_host: '127.0.0.1',
        database_port: pooler?.port ?? serverPort,
        database_name: database.name,
      };
      return { database, schemaName, forward };
    },
    async end() {
      await Promise.all(opened.map((pools) => pools.end()));
      await pooler?.stop();
      for (const database of databases) await database.drop();
    },
  };
}

/** The one connection behind it takes one statement at a time; requests ask at once. */
export function inTurn(registry: RegistryExecutor): RegistryExecutor {
  let previous: Promise<unknown> = Promise.resolve();
  return {
    query: <Row extends object>(sql: string, parameters?: RegistryParameters) => {
      const answer = previous.then(() => registry.query<Row>(sql, parameters));
      previous = answer.catch(() => {});
      return answer;
    },
  };
}

/** Logins by role name: the role's name stands for the ARN of its secret. */
export class KnownLogins implements CredentialSource {
  readonly #logins: ReadonlyMap<string, { user: string; password: string }>;
  constructor(logins: ReadonlyMap<string, { user: string; password: string }>) {
    this.#logins = logins;
  }
  async get(secretArn: string): Promise<Credentials> {
    const login = this.#logins.get(secretArn);
    if (!login) throw new Error(`no login ${secretArn}`);
    return { username: login.user, password: login.password };
  }
  forget(): void {}
}

export function cellRegistration({
  name,
  server,
}: {
  name: string;
  server: { host: string; port: number };
}): CellRegistration {
  return {
    cellId: CELL,
    region: 'us',
    dataResidency: 'us',
    databaseHost: server.host,
    databasePort: server.port,
    writerHost: server.host,
    databaseName: name,
    proxyName: 'none',
    clusterArn: 'none',
    masterSecretArn: 'none',
    ownerSecretArn: 'none',
    starterRoleName: 'strata_starter',
    starterSecretArn: 'strata_starter',
    maxBusinessTenants: 190,
  };
}

/** What the registry knows of a tenant that is placed. */
export async function register(
  registry: RegistryExecutor,
  tenant: TestTenant,
  database: string,
  port: number,
): Promise<void> {
  const { tenantId, isolationModel, schemaName, roleName, epoch } = tenant;
  const tier = { shared: 'starter', schema: 'business', dedicated: 'enterprise' }[isolationModel];
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier,
                          status, admin_email, data_residency, home_region)
     VALUES (:tenantId::uuid, :tenantId, :tenantId, :isolationModel, :schemaName, :tier, 'active', 'a@b.test', 'us', 'us')`,
    { tenantId, isolationModel, schemaName, tier },
  );
  await registry.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_type, database_host, database_port, database_name,
                                          schema_name, isolation_model, role_name, secret_arn, epoch, region,
                                          cell_id, connection_pool_size, schema_version)
     VALUES (:tenantId::uuid, 'postgresql', '127.0.0.1', :port::int, :database, :schemaName, :isolationModel,
             :roleName, :roleName, :epoch::bigint, 'us', :cellId, 4, :schemaVersion::integer)`,
    {
      tenantId,
      port,
      database,
      schemaName,
      isolationModel,
      roleName,
      epoch,
      cellId: isolationModel === 'dedicated' ? null : CELL,
      schemaVersion: TENANT_SCHEMA_VERSION,
    },
  );
}
