import { randomUUID } from 'node:crypto';
import tls from 'node:tls';
import type pg from 'pg';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { placeTenant } from '../../functions/database/provisioning/place-tenant.ts';
import { createTenantSchema, tenantSchemaName } from '../../functions/database/provisioning/tenant-schema.ts';
import type { CredentialSource } from '../../functions/database/session/credentials.ts';
import type { DatabaseAddress } from '../../functions/database/session/pools.ts';
import { connectAs, provisionMaster } from '../database-server.ts';
import { type PostgresServer, startPostgresServer } from '../postgres-server.ts';
import type { Route } from './bench-registry.ts';

export interface BenchTenant {
  readonly tenantId: string;
  readonly schemaName: string;
  readonly roleName: string;
}

export const STARTER = 'strata_starter';
/** Every role's: who may log in as whom is not what is measured. */
export const PASSWORD = 'bench-password';

/** The role's name stands for the ARN of its secret. */
export const benchCredentials: CredentialSource = {
  get: async (secretArn) => ({ username: secretArn, password: PASSWORD }),
  forget: () => {},
};

/** One PostgreSQL server of the benchmarks' own, whose certificate this process trusts. */
export class BenchServer {
  readonly port: number;
  readonly superuser: { readonly user: string; readonly password: string };
  /** Of its authority, PEM. */
  readonly certificate: string;
  readonly #server: PostgresServer;
  readonly #clients: pg.Client[] = [];

  private constructor(server: PostgresServer) {
    this.#server = server;
    this.port = server.port;
    this.superuser = server.superuser;
    this.certificate = server.certificate;
  }

  /** @param settings over those of the test servers, which do not wait for the disk. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<BenchServer> {
    const server = new BenchServer(await startPostgresServer({ ...settings }));
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), server.#server.certificate]);
    await provisionMaster(server.#server, 'postgres', PASSWORD);
    return server;
  }

  /** A data database as a cell has it. */
  async createDatabase(name: string): Promise<BenchDatabase> {
    await provisionMaster(this.#server, name, PASSWORD);
    const master = await this.connect(name, 'strata_master');
    await bootstrapDataDatabase(master, {
      ownerPassword: PASSWORD,
      shared: true,
      starter: { roleName: STARTER, password: PASSWORD },
    });
    return new BenchDatabase(this, name, await this.connect(name), await this.connect(name, 'strata_owner'));
  }

  /** A plain connection that `stop` ends; the superuser's where no role is named. */
  async connect(database: string, user?: string): Promise<pg.Client> {
    const login = user ? { user, password: PASSWORD } : this.superuser;
    const client = await connectAs(this.#server, login, database);
    this.#clients.push(client);
    return client;
  }

  /** Its connections are lost. */
  restart(): Promise<void> {
    return this.#server.restart();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
    await this.#server.stop();
  }
}

export class BenchDatabase {
  readonly server: BenchServer;
  readonly name: string;
  readonly superuser: pg.Client;
  readonly #owner: pg.Client;

  constructor(server: BenchServer, name: string, superuser: pg.Client, owner: pg.Client) {
    this.server = server;
    this.name = name;
    this.superuser = superuser;
    this.#owner = owner;
  }

  address(tenant: BenchTenant, port = this.server.port): DatabaseAddress {
    return { host: '127.0.0.1', port, database: this.name, secretArn: tenant.roleName, poolSize: 10 };
  }

  /** What the registry tells of a tenant here. */
  route(tenant: BenchTenant): Route {
    const isolationModel = tenant.schemaName === 'shared' ? 'shared' : 'schema';
    return { epoch: 1, isolationModel, address: this.address(tenant) };
  }

  /** A Business tenant, made as onboarding makes it, with its employees. */
  async addSchemaTenant(employees: number): Promise<BenchTenant> {
    const tenantId = randomUUID();
    const name = tenantSchemaName(tenantId, 1);
    const tenant = { tenantId, schemaName: name, roleName: name };
    await createTenantSchema(this.#owner, { ...tenant, password: PASSWORD, connectionLimit: 20 });
    await placeTenant(this.#owner, { ...tenant, epoch: 1, isolationModel: 'schema' });
    await this.superuser.query(
      `INSERT INTO ${name}.employees (email, first_name, last_name, job_title, department) ${people(employees)}`,
    );
    return tenant;
  }

  /** Starter tenants, as many as wanted in two statements. */
  async addSharedTenants(count: number, employees: number): Promise<BenchTenant[]> {
    const ids = Array.from({ length: count }, () => randomUUID());
    await this.superuser.query(
      `INSERT INTO tenancy.placement (tenant_id, epoch, isolation_model, schema_name, role_name)
       SELECT id, 1, 'shared', 'shared', $2 FROM unnest($1::uuid[]) id`,
      [ids, STARTER],
    );
    await this.superuser.query(
      `INSERT INTO shared.employees (tenant_id, email, first_name, last_name, job_title, department)
       SELECT id, person.* FROM unnest($1::uuid[]) id, LATERAL (${people(employees)}) person`,
      [ids],
    );
    await this.superuser.query('ANALYZE shared.employees, tenancy.placement');
    return ids.map((tenantId) => ({ tenantId, schemaName: 'shared', roleName: STARTER }));
  }

  async employeeIds({ tenantId, schemaName }: BenchTenant): Promise<string[]> {
    const { rows } = await this.superuser.query<{ employee_id: string }>(
      `SELECT employee_id FROM ${schemaName}.employees ${schemaName === 'shared' ? `WHERE tenant_id = '${tenantId}'` : ''}`,
    );
    return rows.map(({ employee_id }) => employee_id);
  }
}

const people = (count: number) => `
  SELECT 'employee' || n || '@example.test', 'Ada', 'Lovelace', 'Engineer', 'Department ' || n % 7
  FROM generate_series(1, ${count}) n`;
