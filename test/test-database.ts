import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { inject } from 'vitest';
import type { IsolationModel } from '../functions/contracts/tenant.ts';
import { ddlTransaction } from '../functions/database/ddl/ddl-connection.ts';
import { grantDatabase } from '../functions/database/provisioning/bootstrap-data-database.ts';
import { placeTenant, type TenantPlacement } from '../functions/database/provisioning/place-tenant.ts';
import { createTenantSchema, tenantSchemaName } from '../functions/database/provisioning/tenant-schema.ts';
import { TENANT_SCHEMA_VERSION } from '../functions/database/tables/schema-version.ts';
import { migrationsUpTo } from '../functions/database/tables/tenant-migrations.ts';
import { connectAs, type DatabaseServer, type LoginName } from './database-server.ts';
import { RegistryOverPostgres } from './registry-over-postgres.ts';

/** SQLSTATE object_in_use: replication still uses the database. */
const IN_USE = '55006';

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** A tenant that is placed in a test database, and the login its requests use. */
export interface TestTenant extends TenantPlacement {
  readonly login: Login;
}

/**
 * One data database of a test's own, cloned from the bootstrapped template. Roles belong to the server, not to the
 * database: give a role that a test creates a name of its own (`addTenant` does, its names carry the tenant's id), and
 * leave the shared ones (owner, starter) as they are.
 */
export class TestDatabase {
  readonly server: DatabaseServer;
  readonly name: string;
  readonly #clients: pg.Client[] = [];

  private constructor(server: DatabaseServer, name: string) {
    this.server = server;
    this.name = name;
  }

  /** @param on the cluster; the other one stands for another cell's or a tenant's own. */
  static async clone(on: 'databaseServer' | 'otherServer' = 'databaseServer'): Promise<TestDatabase> {
    const server = inject(on);
    const database = await TestDatabase.#copy(server.templateDatabase, server);
    const master = await database.connect('master');
    await ddlTransaction(master, grantDatabase);
    return database;
  }

  /** A registry of a test's own; talk to it with `registry`. */
  static cloneRegistry(): Promise<TestDatabase> {
    return TestDatabase.#copy(inject('databaseServer').templateRegistry);
  }

  /** A database with nothing in it, as a new cluster has. The cluster's roles exist. */
  static empty(): Promise<TestDatabase> {
    return TestDatabase.#copy('template1');
  }

  static async #copy(template: string, server = inject('databaseServer')): Promise<TestDatabase> {
    const database = new TestDatabase(server, `test_${randomUUID().replaceAll('-', '')}`);
    const superuser = await connectAs(server, server.logins.superuser, 'postgres');
    // Through its log, the server would write each page twice.
    await superuser.query(
      `CREATE DATABASE ${database.name} OWNER strata_master TEMPLATE ${template} STRATEGY FILE_COPY`,
    );
    await superuser.end();
    return database;
  }

  /** The registry as the Data API would show it to the role. */
  async registry(as: LoginName | Login = 'registryWriter'): Promise<RegistryOverPostgres> {
    return new RegistryOverPostgres(await this.connect(as));
  }

  /** A connection that `drop` ends. */
  async connect(as: LoginName | Login): Promise<pg.Client> {
    const client = await connectAs(this.server, this.login(as), this.name);
    this.#clients.push(client);
    return client;
  }

  login(as: LoginName | Login): Login {
    return typeof as === 'string' ? this.server.logins[as] : as;
  }

  /**
   * Places a new tenant here under the given model; `schema` and `dedicated` get a schema and a role of their own.
   * @param schemaVersion of the tables in that schema.
   */
  async addTenant(
    isolationModel: IsolationModel,
    tenantId: string = randomUUID(),
    schemaVersion: number = TENANT_SCHEMA_VERSION,
  ): Promise<TestTenant> {
    const owner = await this.connect('owner');
    const shared = isolationModel === 'shared';
    const name = tenantSchemaName(tenantId, 1);
    const login = shared ? this.login('starter') : { user: name, password: `password of ${name}` };
    const placement = {
      tenantId,
      epoch: 1,
      isolationModel,
      schemaName: shared ? 'shared' : name,
      roleName: login.user,
    };
    if (!shared) {
      await createTenantSchema(owner, {
        ...placement,
        password: login.password,
        connectionLimit: 20,
        migrations: migrationsUpTo(schemaVersion),
      });
    }
    await placeTenant(owner, placement);
    await owner.end();
    return { ...placement, login };
  }

  /** Ends every session and drops the database; roles of its tenants stay until the server stops. */
  async drop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end().catch(() => {})));
    const superuser = await connectAs(this.server, this.server.logins.superuser, 'postgres');
    const dropping = () => superuser.query(`DROP DATABASE ${this.name} WITH (FORCE)`);
    await dropping().catch(async (error: pg.DatabaseError) => {
      if (error.code !== IN_USE) throw error;
      await this.#endReplication();
      await dropping();
    });
    await superuser.end();
  }

  /** Of moves that a test left unfinished. */
  async #endReplication(): Promise<void> {
    const superuser = await connectAs(this.server, this.server.logins.superuser, this.name);
    const { rows } = await superuser.query<{ name: string }>(
      `SELECT quote_ident(subname) AS name FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
       WHERE datname = current_database()`,
    );
    for (const { name } of rows) {
      await superuser.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
      await superuser.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
      await superuser.query(`DROP SUBSCRIPTION ${name}`);
    }
    await superuser.query(
      `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
       WHERE database = current_database() AND active_pid IS NOT NULL`,
    );
    await superuser.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()',
    );
    await superuser.end();
  }
}
