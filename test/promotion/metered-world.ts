import type pg from 'pg';
import type { DataDatabase } from '../../functions/metering/metered-tenants.ts';
import { type CellRegistration, registerCell } from '../../functions/registry/cells.ts';
import { asTenant } from '../enter-tenant.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

const TIERS = { shared: 'starter', schema: 'business', dedicated: 'enterprise' } as const;
type Model = keyof typeof TIERS;

/** Columns of `tenants` to set beside the usual ones. */
interface TenantFields {
  readonly tenantId?: string;
  readonly status?: string;
  readonly monthlyRevenue?: number;
  readonly maxStorageGb?: number;
  readonly complianceRequirements?: readonly string[];
}

/** Cells and dedicated databases with tenants in them, and the registry that knows them. */
export class MeteredWorld {
  readonly registry: RegistryOverPostgres;
  readonly #registryDatabase: TestDatabase;
  readonly #databases = new Map<string, TestDatabase>();
  readonly #tenantsHomes = new Map<string, TestDatabase>();

  private constructor(registryDatabase: TestDatabase, registry: RegistryOverPostgres) {
    this.#registryDatabase = registryDatabase;
    this.registry = registry;
  }

  static async create(): Promise<MeteredWorld> {
    const registryDatabase = await TestDatabase.cloneRegistry();
    return new MeteredWorld(registryDatabase, await registryDatabase.registry());
  }

  /** The registry on a connection of its own, as another function has it. */
  anotherRegistry(): Promise<RegistryOverPostgres> {
    return this.#registryDatabase.registry();
  }

  async addCell(cellId: string, region = 'us', terms: Partial<CellRegistration> = {}): Promise<TestDatabase> {
    const database = await TestDatabase.clone();
    this.#databases.set(cellId, database);
    await this.registerCell(cellId, { region, ...terms });
    return database;
  }

  /** What a deployment of the cell's stack tells the registry. */
  async registerCell(cellId: string, terms: Partial<CellRegistration> = {}): Promise<void> {
    const { name, server } = this.database(cellId);
    await registerCell(this.registry, {
      cellId,
      region: 'us',
      dataResidency: 'us',
      databaseHost: 'proxy',
      databasePort: server.port,
      writerHost: server.host,
      databaseName: name,
      proxyName: cellId,
      clusterArn: 'none',
      masterSecretArn: 'none',
      ownerSecretArn: `owner of ${cellId}`,
      starterRoleName: 'strata_starter',
      starterSecretArn: 'none',
      maxBusinessTenants: 190,
      ...terms,
    });
  }

  /** @param cellId null: the tenant gets a database of its own. */
  async addTenant(model: Model, cellId: string | null, fields: TenantFields = {}): Promise<TestTenant> {
    const database = cellId === null ? await TestDatabase.clone() : this.database(cellId);
    const tenant = await database.addTenant(model, fields.tenantId);
    if (cellId === null) this.#databases.set(tenant.tenantId, database);
    this.#tenantsHomes.set(tenant.tenantId, database);
    const { tenantId, schemaName, roleName, epoch } = tenant;
    await this.registry.query(
      `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier, status,
                            data_residency, home_region, monthly_revenue, max_storage_gb, compliance_requirements)
       VALUES (:tenantId::uuid, :tenantId, 't-' || :tenantId, :model, :schemaName, :tier, :status,
               'us', 'us', :revenue::numeric, :storage::integer, :compliance::jsonb)`,
      {
        tenantId,
        model,
        schemaName,
        tier: TIERS[model],
        status: fields.status ?? 'active',
        revenue: fields.monthlyRevenue ?? null,
        storage: fields.maxStorageGb ?? null,
        compliance: JSON.stringify(fields.complianceRequirements ?? []),
      },
    );
    await this.registry.query(
      `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name, cell_id,
                                            isolation_model, role_name, secret_arn, epoch, region, writer_host)
       VALUES (:tenantId::uuid, 'proxy', :port::integer, :database, :schemaName, :cellId, :model, :roleName, 'none',
               :epoch::bigint, :region, 'writer')`,
      {
        tenantId,
        schemaName,
        roleName,
        epoch,
        cellId,
        model,
        region: cellId?.split('-')[0] ?? 'us',
        port: database.server.port,
        database: database.name,
      },
    );
    return tenant;
  }

  async addUsers(tenantId: string, active: number, inactive = 0): Promise<void> {
    await this.registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role, is_active)
       SELECT :tenantId::uuid, gen_random_uuid() || '@users.test', 'member', n <= :active::integer
       FROM generate_series(1, :count::integer) n`,
      { tenantId, active, count: active + inactive },
    );
  }

  /** Employees as a request of the tenant would add them, each with results of one assessment. */
  async hire(tenant: TestTenant, active: number, { left = 0, results = 0 } = {}): Promise<void> {
    const client = await this.home(tenant.tenantId).connect(tenant.login);
    await asTenant(client, tenant, 'write', async () => {
      await client.query(
        `INSERT INTO employees (email, first_name, last_name, status, profile_data)
         SELECT gen_random_uuid() || '@staff.test', 'Ada', 'Lovelace',
                CASE WHEN n <= $1 THEN 'active' ELSE 'terminated' END, jsonb_build_object('note', repeat('x', 500))
         FROM generate_series(1, $2::integer) n`,
        [active, active + left],
      );
      if (results > 0) {
        await client.query(
          `WITH a AS (INSERT INTO assessments (assessment_name) VALUES ('a') RETURNING assessment_id)
           INSERT INTO assessment_results (assessment_id)
           SELECT a.assessment_id FROM a, generate_series(1, $1::integer)`,
          [results],
        );
      }
    });
    await client.end();
  }

  home(tenantId: string): TestDatabase {
    return this.#tenantsHomes.get(tenantId)!;
  }

  /** Connects as production does, but for the secret, whose name tells the database here. */
  readonly connect = async ({ key }: DataDatabase): Promise<pg.Client> => this.database(key).connect('owner');

  /** The tenant's samples, oldest first, without what differs between runs. */
  async samples(tenantId: string): Promise<Record<string, unknown>[]> {
    return this.registry.query(
      `SELECT sampled_on::text AS day, active_users, active_employees, user_count, assessment_count, storage_bytes,
              database_size_bytes, row_operations, monthly_revenue::float8 AS monthly_revenue
       FROM usage_samples WHERE tenant_id = :tenantId::uuid ORDER BY sampled_on`,
      { tenantId },
    );
  }

  async drop(): Promise<void> {
    for (const database of this.#databases.values()) await database.drop();
    await this.#registryDatabase.drop();
  }

  database(key: string): TestDatabase {
    const database = this.#databases.get(key);
    if (!database) throw new Error(`there is no database ${key}`);
    return database;
  }
}
