import { sql } from 'kysely';
import type pg from 'pg';
import { type DdlTransaction, ddlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { identifier } from '../ddl/identifier.ts';
import { migrateTenantTables, SHARED_SCHEMA, sharedTarget } from '../tables/migrate-tenant-tables.ts';
import { ensureMonthPartitions, MONTHS_READY } from '../tables/month-partitions.ts';
import type { TenantMigration } from '../tables/tenant-migrations.ts';
import {
  ensureOwnerRole,
  ensureRequestRole,
  ensureRequestSettings,
  ensureRole,
  grantReplication,
  OWNER_ROLE,
  TENANT_LOGIN_GROUP,
} from './data-roles.ts';
import { ensureTenancySchema } from './tenancy-schema.ts';

export interface DataDatabaseOptions {
  readonly ownerPassword: string;
  /** Whether Starter tenants live here (a cell) or one tenant only (a dedicated database). */
  readonly shared: boolean;
  /** The login role of all Starter tenants; required where `shared`. */
  readonly starter?: { readonly roleName: string; readonly password: string };
  /** For tests of migrations to come. */
  readonly migrations?: readonly TenantMigration[];
}

/**
 * Turns an empty database into a data database, or brings an older one up to date: roles, schema `tenancy`, and for a
 * cell the shared tables. `master` is a direct connection of the cluster's master user, not through a proxy.
 *
 * All of it is one transaction under a lock: killed at any statement it leaves nothing, run again it finishes or
 * changes nothing but passwords, run twice at once the second waits.
 * @throws PostgreSQL's own error; {TypeError} for a name or password that cannot be one.
 */
export async function bootstrapDataDatabase(
  master: pg.ClientBase,
  options: DataDatabaseOptions,
): Promise<void> {
  if (options.shared && !options.starter) throw new TypeError('a shared database needs the starter role');
  await ddlTransaction(master, async (transaction) => {
    await lockForDdl(transaction, 'bootstrap');
    await ensureOwnerRole(transaction, options.ownerPassword);
    await grantReplication(transaction);
    await grantDatabase(transaction);
    await closeOtherDatabases(transaction);
    await runStatements(transaction, [`SET LOCAL ROLE ${identifier(OWNER_ROLE)}`]);
    await ensureRole(transaction, TENANT_LOGIN_GROUP);
    await ensureTenancySchema(transaction);
    if (options.starter) await ensureRequestRole(transaction, options.starter);
    await ensureRequestSettings(transaction);
    if (options.shared && options.starter)
      await ensureSharedTables(transaction, options.starter.roleName, options);
  });
}

/**
 * Rights on the database itself. They do not come with a copy (`CREATE DATABASE … TEMPLATE`, a restored snapshot
 * under another name), so they are separate. CONNECT stays with everybody: every role of the cluster is ours, and
 * the proxy's own monitoring role needs it.
 */
export async function grantDatabase(transaction: DdlTransaction): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select pg_catalog.quote_ident(pg_catalog.current_database()) as name`.execute(transaction);
  const name = rows[0]?.name;
  await runStatements(transaction, [
    // A temporary table or function of a request's own could stand in for one of ours.
    `REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC`,
    `GRANT CREATE, TEMPORARY ON DATABASE ${name} TO ${identifier(OWNER_ROLE)}`,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
  ]);
}

/**
 * No role of ours makes temporary tables in the databases that every cluster has. CONNECT stays there, too: RDS Proxy
 * looks after its targets through `postgres`. `template1` is RDS's own, and so are the functions of large objects: what
 * a leaked credential leaves by those, `dropTenantSchema` removes.
 */
async function closeOtherDatabases(transaction: DdlTransaction): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select pg_catalog.quote_ident(datname) as name from pg_catalog.pg_database
    where datname in ('postgres', 'template1') and datname <> pg_catalog.current_database()
      and datdba = current_user::pg_catalog.regrole`.execute(transaction);
  await runStatements(
    transaction,
    rows.map(({ name }) => `REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC`),
  );
}

async function ensureSharedTables(
  transaction: DdlTransaction,
  starterRole: string,
  { migrations }: DataDatabaseOptions,
): Promise<void> {
  await runStatements(transaction, [
    `CREATE SCHEMA IF NOT EXISTS ${identifier(SHARED_SCHEMA)}`,
    `GRANT USAGE ON SCHEMA ${identifier(SHARED_SCHEMA)} TO ${identifier(starterRole)}`,
  ]);
  await migrateTenantTables(transaction, sharedTarget(starterRole), migrations);
  await ensureMonthPartitions(transaction, SHARED_SCHEMA, new Date(), MONTHS_READY);
}
