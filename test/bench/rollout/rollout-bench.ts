import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { qualified } from '../../../functions/database/ddl/identifier.ts';
import { dataConnection } from '../../../functions/database/provisioning/data-connection.ts';
import { placeTenant } from '../../../functions/database/provisioning/place-tenant.ts';
import { type Release, thisRelease } from '../../../functions/database/provisioning/release.ts';
import {
  createTenantSchema,
  tenantSchemaName,
} from '../../../functions/database/provisioning/tenant-schema.ts';
import type { asOwner } from '../../../functions/database/session/owner-connection.ts';
import { bootstrapRegistry } from '../../../functions/registry/bootstrap-registry.ts';
import { registerCell } from '../../../functions/registry/cells.ts';
import {
  beginRollout,
  finishRollout,
  runCanaries,
  runWave,
} from '../../../functions/rollouts/rollout-phases.ts';
import { RegistryOverPostgres } from '../../registry-over-postgres.ts';
import { BenchServer, PASSWORD, STARTER } from '../bench-server.ts';

const OWNER = 'strata_owner';
const DATABASE = 'strata';

/** One cell with many schemas, the registry that knows them, and ways to give each schema a column. */
export class RolloutBench {
  readonly schemas: string[] = [];
  /** Milliseconds of each creation, in their order. */
  readonly createdMs: number[] = [];
  /** Connections that rollouts opened to the cell. */
  connections = 0;
  readonly #server: BenchServer;
  readonly #registry: RegistryOverPostgres;
  #release: Release = thisRelease;
  readonly #kyselySteps: string[] = [];
  #ownSteps = 0;

  private constructor(server: BenchServer, registry: RegistryOverPostgres) {
    this.#server = server;
    this.#registry = registry;
  }

  static async start(schemas: number): Promise<RolloutBench> {
    const server = await BenchServer.start();
    try {
      await server.createDatabase(DATABASE);
      const superuser = await server.connect('postgres');
      await superuser.query('CREATE DATABASE registry OWNER strata_master');
      const master = new RegistryOverPostgres(await server.connect('registry', 'strata_master'));
      await bootstrapRegistry(master, {
        readerPassword: PASSWORD,
        writerPassword: PASSWORD,
        usersPassword: PASSWORD,
      });
      const writer = new RegistryOverPostgres(await server.connect('registry', 'strata_registry_writer'));
      await registerCell(writer, {
        cellId: 'us-1',
        region: 'us',
        dataResidency: 'us',
        databaseHost: '127.0.0.1',
        databasePort: server.port,
        writerHost: '127.0.0.1',
        databaseName: DATABASE,
        proxyName: 'none',
        clusterArn: 'none',
        masterSecretArn: 'none',
        ownerSecretArn: 'none',
        starterSecretArn: 'none',
        starterRoleName: STARTER,
        maxBusinessTenants: schemas,
      });
      const bench = new RolloutBench(server, writer);
      const owner = await server.connect(DATABASE, OWNER);
      for (let made = 0; made < schemas; made++) await bench.#addTenant(owner);
      return bench;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  async serverVersion(): Promise<string> {
    const client = await this.#server.connect('postgres');
    return (await client.query('SHOW server_version')).rows[0].server_version.split(' ')[0];
  }

  /** As onboarding makes it. */
  async #addTenant(owner: pg.Client): Promise<void> {
    const tenantId = randomUUID();
    const name = tenantSchemaName(tenantId, 1);
    const begun = performance.now();
    await createTenantSchema(owner, {
      tenantId,
      schemaName: name,
      roleName: name,
      password: PASSWORD,
      connectionLimit: 20,
    });
    this.createdMs.push(performance.now() - begun);
    const place = { tenantId, schemaName: name, roleName: name, epoch: 1 };
    await placeTenant(owner, { ...place, isolationModel: 'schema' });
    await this.#registry.query(
      `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, schema_name, subscription_tier, status,
                            data_residency, home_region)
       VALUES (:tenantId::uuid, :tenantId, 't-' || :tenantId, 'schema', :schemaName, 'business', 'active', 'us', 'us')`,
      { tenantId, schemaName: name },
    );
    await this.#registry.query(
      `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name, cell_id,
                                            isolation_model, role_name, secret_arn, epoch, region, writer_host)
       VALUES (:tenantId::uuid, '127.0.0.1', :port::integer, :database, :schemaName, 'us-1', 'schema', :schemaName,
               'none', 1, 'us', '127.0.0.1')`,
      { tenantId, schemaName: name, port: this.#server.port, database: DATABASE },
    );
    this.schemas.push(name);
  }

  /** The next release adds a column, and is rolled out. */
  async rollOutColumn(): Promise<void> {
    const version = this.#release.schemaVersion + 1;
    const migration = {
      name: `${String(version).padStart(4, '0')}-bench`,
      up: ({ schema }: { schema: string }) => [addColumn(schema, `strata_${version}`)],
    };
    this.#release = {
      ...this.#release,
      schemaVersion: version,
      migrations: [...this.#release.migrations, migration],
    };
    await this.rollOut();
  }

  /** All phases of the workflow, in this process. */
  async rollOut(): Promise<void> {
    const registry = this.#registry;
    const release = this.#release;
    const { rolloutId, groups } = await beginRollout(registry, {
      input: { except: [], rolloutId: undefined, startedBy: undefined },
      executionArn: randomUUID(),
      region: 'us',
      release,
      statusOf: async () => 'ended' as const,
    });
    const options = {
      registry,
      rolloutId,
      release,
      connect: this.#connect,
      deadline: Number.POSITIVE_INFINITY,
      onFailed: (target: string, error: unknown) => console.error(target, error),
    };
    await runCanaries(options);
    for (const group of groups) await runWave(group, options);
    await finishRollout(registry, rolloutId);
  }

  readonly #connect = (async (_database: unknown, work: (owner: pg.Client) => Promise<unknown>) => {
    this.connections += 1;
    const owner = await dataConnection({
      host: '127.0.0.1',
      port: this.#server.port,
      database: DATABASE,
      credentials: { username: OWNER, password: PASSWORD },
    });
    try {
      return await work(owner);
    } finally {
      await owner.end();
    }
  }) as typeof asOwner;

  /** A loop over some tenants as the documentation of Kysely suggests it: a connection and a Migrator for each. */
  async kyselyLoop(schemas: readonly string[]): Promise<void> {
    const step = `${String(this.#kyselySteps.length + 1).padStart(4, '0')}-bench`;
    this.#kyselySteps.push(step);
    for (const schema of schemas) {
      const db = new Kysely<unknown>({
        dialect: new PostgresDialect({ pool: new pg.Pool({ ...this.#login, max: 1 }) }),
      });
      const steps = this.#kyselySteps.map((name, index) => [
        name,
        { up: (each: Kysely<unknown>) => sql.raw(addColumn(schema, `kysely_${index}`)).execute(each) },
      ]);
      const migrator = new Migrator({
        db,
        migrationTableSchema: schema,
        migrationTableName: 'kysely_migration',
        migrationLockTableName: 'kysely_migration_lock',
        provider: { getMigrations: async () => Object.fromEntries(steps) },
      });
      const { error } = await migrator.migrateToLatest();
      await db.destroy();
      if (error) throw error;
    }
  }

  /** A plain loop: for each tenant a connection, its history read, and one transaction that alters and notes it. */
  async plainLoop(): Promise<void> {
    const step = ++this.#ownSteps;
    for (const schema of this.schemas) {
      const client = new pg.Client(this.#login);
      await client.connect();
      await client.query('BEGIN');
      await client.query(`SELECT name FROM ${qualified(schema, 'schema_migrations')}`);
      await this.#alter(client, schema, step);
      await client.query('COMMIT');
      await client.end();
    }
  }

  /** The barest loop: one connection for all, and per schema a transaction that alters the table and notes it. */
  async bareLoop(): Promise<void> {
    const step = ++this.#ownSteps;
    const client = new pg.Client(this.#login);
    await client.connect();
    for (const schema of this.schemas) {
      await client.query('BEGIN');
      await this.#alter(client, schema, step);
      await client.query('COMMIT');
    }
    await client.end();
  }

  async #alter(client: pg.Client, schema: string, step: number): Promise<void> {
    await client.query(addColumn(schema, `loop_${step}`));
    await client.query(
      `INSERT INTO ${qualified(schema, 'schema_migrations')} (name, "timestamp") VALUES ($1, $2)`,
      [LOOP, new Date().toISOString()],
    );
  }

  /** What a loop noted is no part of Strata's history, which would be refused. Not measured. */
  async forgetLoop(): Promise<void> {
    const client = await this.#server.connect(DATABASE, OWNER);
    for (const schema of this.schemas) {
      await client.query(`DELETE FROM ${qualified(schema, 'schema_migrations')} WHERE name = $1`, [LOOP]);
    }
  }

  get #login(): pg.ClientConfig {
    const { port } = this.#server;
    return { host: '127.0.0.1', port, database: DATABASE, user: OWNER, password: PASSWORD, ssl: true };
  }
}

const LOOP = 'noted by a loop';

const addColumn = (schema: string, name: string) =>
  `ALTER TABLE ${qualified(schema, 'employees')} ADD COLUMN ${name} text`;
