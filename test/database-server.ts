/**
 * Vitest's global setup: one PostgreSQL server for the whole run, with the roles that RDS has, and a bootstrapped
 * template database of which every test file takes clones (`test-database.ts`).
 */
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { bootstrapDataDatabase } from '../functions/database/provisioning/bootstrap-data-database.ts';
import { bootstrapRegistry } from '../functions/database/registry/bootstrap-registry.ts';
import { type PostgresServer, startPostgresServer } from './postgres-server.ts';
import { RegistryOverPostgres } from './registry-over-postgres.ts';

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

export type LoginName = 'superuser' | 'master' | 'owner' | 'starter' | 'registryReader' | 'registryWriter';

declare module 'vitest' {
  export interface ProvidedContext {
    databaseServer: DatabaseServer;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgresServer();
  try {
    project.provide('databaseServer', await prepare(server));
  } catch (error) {
    await server.stop();
    throw error;
  }
  return () => server.stop();
}

/** The roles that every RDS cluster has from its creation; the master user is none of the superusers. */
export async function createRdsRoles(superuser: pg.Client, masterPassword: string): Promise<void> {
  await superuser.query(`
    CREATE ROLE rds_superuser NOLOGIN;
    CREATE ROLE rds_replication NOLOGIN;
    CREATE ROLE rds_iam NOLOGIN;
    GRANT pg_monitor, pg_signal_backend, pg_create_subscription, rds_replication TO rds_superuser WITH ADMIN OPTION;
    CREATE ROLE strata_master LOGIN CREATEROLE CREATEDB REPLICATION
      PASSWORD ${superuser.escapeLiteral(masterPassword)} IN ROLE rds_superuser`);
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
  const logins = {
    superuser: server.superuser,
    master: { user: 'strata_master', password: 'master-password' },
    owner: { user: 'strata_owner', password: 'owner-password' },
    starter: { user: 'strata_starter', password: 'starter-password' },
    registryReader: { user: 'strata_registry_reader', password: 'reader-password' },
    registryWriter: { user: 'strata_registry_writer', password: 'writer-password' },
  };
  const templateDatabase = 'strata_template';
  const templateRegistry = 'registry_template';
  const superuser = await connectAs(server, logins.superuser, 'postgres');
  await createRdsRoles(superuser, logins.master.password);
  await superuser.query(`CREATE DATABASE ${templateDatabase} OWNER strata_master`);
  await superuser.query(`CREATE DATABASE ${templateRegistry} OWNER strata_master`);
  await superuser.end();
  const master = await connectAs(server, logins.master, templateDatabase);
  await bootstrapDataDatabase(master, {
    ownerPassword: logins.owner.password,
    shared: true,
    starter: { roleName: logins.starter.user, password: logins.starter.password },
  });
  await master.end();
  const registry = await connectAs(server, logins.master, templateRegistry);
  await bootstrapRegistry(new RegistryOverPostgres(registry), {
    readerPassword: logins.registryReader.password,
    writerPassword: logins.registryWriter.password,
  });
  await registry.end();
  return {
    host: '127.0.0.1',
    port: server.port,
    certificate: server.certificate,
    templateDatabase,
    templateRegistry,
    logins,
  };
}
