/**
 * Vitest's global setup: two PostgreSQL servers for the whole run, two clusters to the tests, with the roles that RDS
 * has and bootstrapped template databases of which every test file takes clones (`test-database.ts`).
 */
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { bootstrapDataDatabase } from '../functions/database/provisioning/bootstrap-data-database.ts';
import { bootstrapRegistry } from '../functions/registry/bootstrap-registry.ts';
import { internals } from '../infra/local/index.ts';
import { type PostgresServer, startPostgresServer } from './postgres-server.ts';
import { RegistryOverPostgres } from './registry-over-postgres.ts';
import { claimRunDirectory } from './run-directory.ts';

const { provisionMasterUser } = await internals();

export interface DatabaseServer {
  readonly host: string;
  readonly port: number;
  /** What it shows to TLS clients, PEM; plain connections are accepted too. */
  readonly certificate: string;
  readonly templateDatabase: string;
  readonly templateRegistry: string;
  /** `superuser` is the platform's own (rdsadmin): tests use it to look, never in place of a role under test. */
  readonly logins: Readonly<Record<LoginName, { readonly user: string; readonly password: string }>>;
}

export type LoginName = 'superuser' | keyof typeof LOGINS;

declare module 'vitest' {
  export interface ProvidedContext {
    databaseServer: DatabaseServer;
    /** Another cluster, to which tenants are relocated. */
    otherServer: DatabaseServer;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<unknown>> {
  await claimRunDirectory();
  // Another project of this run has started them, and stops them.
  if (process.env.STRATA_TEST_SERVERS) {
    provide(project, JSON.parse(process.env.STRATA_TEST_SERVERS));
    return async () => {};
  }
  const servers = [await startPostgresServer(), await startPostgresServer()] as const;
  const stop = () => Promise.all(servers.map((server) => server.stop()));
  try {
    const [databaseServer, otherServer] = await Promise.all([prepare(servers[0]), prepare(servers[1])]);
    provide(project, { databaseServer, otherServer });
    process.env.STRATA_TEST_SERVERS = JSON.stringify({ databaseServer, otherServer });
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

function provide(
  project: TestProject,
  servers: Record<'databaseServer' | 'otherServer', DatabaseServer>,
): void {
  project.provide('databaseServer', servers.databaseServer);
  project.provide('otherServer', servers.otherServer);
}

export async function connectAs(
  server: Pick<PostgresServer, 'port'>,
  login: { readonly user: string; readonly password: string },
  database: string,
): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, database, ...login });
  await client.connect();
  // A test may end the session from outside; its next query fails then, which is what it looks at.
  client.on('error', () => {});
  return client;
}

async function prepare(server: PostgresServer): Promise<DatabaseServer> {
  const templateDatabase = 'strata_template';
  const templateRegistry = 'registry_template';
  await provisionMaster(server, templateDatabase);
  await provisionMaster(server, templateRegistry);
  const master = await connectAs(server, LOGINS.master, templateDatabase);
  await bootstrapDataDatabase(master, {
    ownerPassword: LOGINS.owner.password,
    shared: true,
    starter: { roleName: LOGINS.starter.user, password: LOGINS.starter.password },
  });
  await master.end();
  const registry = await connectAs(server, LOGINS.master, templateRegistry);
  await bootstrapRegistry(new RegistryOverPostgres(registry), {
    readerPassword: LOGINS.registryReader.password,
    writerPassword: LOGINS.registryWriter.password,
    usersPassword: LOGINS.registryUsers.password,
  });
  await registry.end();
  return {
    host: '127.0.0.1',
    port: server.port,
    certificate: server.certificate,
    templateDatabase,
    templateRegistry,
    logins: { superuser: server.superuser, ...LOGINS },
  };
}

/** The roles that every RDS cluster has from its creation, and a database of the master user, who is no superuser. */
export function provisionMaster(
  { port, superuser }: Pick<PostgresServer, 'port' | 'superuser'>,
  databaseName: string,
  masterPassword = LOGINS.master.password as string,
): Promise<void> {
  const masterUsername = LOGINS.master.user;
  const connection = { host: '127.0.0.1', port, database: 'postgres', ...superuser };
  return provisionMasterUser(connection, { masterUsername, masterPassword, databaseName });
}

export const LOGINS = {
  master: { user: 'strata_master', password: 'master-password' },
  owner: { user: 'strata_owner', password: 'owner-password' },
  starter: { user: 'strata_starter', password: 'starter-password' },
  registryReader: { user: 'strata_registry_reader', password: 'reader-password' },
  registryWriter: { user: 'strata_registry_writer', password: 'writer-password' },
  registryUsers: { user: 'strata_registry_users', password: 'users-password' },
} as const;
