import { sql } from 'kysely';
import type pg from 'pg';
import { type DdlTransaction, ddlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { identifier } from '../ddl/identifier.ts';
import { missingMigrations, versionAfter } from '../ddl/migration-history.ts';
import {
  migrateTenantTables,
  readHistory,
  SHARED_SCHEMA,
  sharedTarget,
} from '../tables/migrate-tenant-tables.ts';
import { ensureMonthPartitions, MONTHS_READY } from '../tables/month-partitions.ts';
import {
  ANALYTICS_ROLE,
  ensureAnalyticsRole,
  ensureOwnerRole,
  ensureRequestRole,
  ensureRequestSettings,
  ensureRole,
  grantReplication,
  OWNER_ROLE,
  TENANT_LOGIN_GROUP,
} from './data-roles.ts';
import { type Release, thisRelease } from './release.ts';
import { readTenancyVersion, writeTenancy } from './tenancy-schema.ts';

export interface DataDatabaseOptions {
  readonly ownerPassword: string;
  /** True when Starter tenants live here (a cell), false for one tenant only (a dedicated database). */
  readonly shared: boolean;
  /** The login role of all Starter tenants; required when `shared`. */
  readonly starter?: { readonly roleName: string; readonly password: string };
  /** The release to create; this code's when absent. */
  readonly release?: Release;
}

/** Versions of a database's objects. */
export interface DatabaseVersions {
  readonly tenancyVersion: number;
  /** Of the shared tables; undefined when there are none. */
  readonly schemaVersion: number | undefined;
}

/**
 * Turns an empty database into a data database: roles, schema `tenancy`, and for a cell the shared tables. `master` is
 * a direct connection of the cluster's master user, not through a proxy.
 *
 * It only creates. It leaves an existing `tenancy` and existing shared tables as they are, older or newer than this
 * code (a rollout changes them), and updates what belongs to the master: roles, their passwords and settings.
 *
 * All of it is one transaction under a lock: an interrupted run leaves nothing, a repetition changes nothing but
 * passwords, and of two concurrent runs the second waits.
 * @throws PostgreSQL's own error; {TypeError} a name or password has an unusable form; {HistoryDiverged}.
 * @returns the versions that the database has now.
 */
export async function bootstrapDataDatabase(
  master: pg.ClientBase,
  options: DataDatabaseOptions,
): Promise<DatabaseVersions> {
  const { starter, shared, release = thisRelease } = options;
  if (shared && !starter) throw new TypeError('a shared database needs the starter role');
  return ddlTransaction(master, async (transaction) => {
    await lockForDdl(transaction, 'bootstrap');
    await ensureOwnerRole(transaction, options.ownerPassword);
    if (shared) await ensureAnalyticsRole(transaction);
    await grantReplication(transaction);
    await grantDatabase(transaction);
    await closeOtherDatabases(transaction);
    await ensureStatistics(transaction);
    await runStatements(transaction, [`SET LOCAL ROLE ${identifier(OWNER_ROLE)}`]);
    await ensureRole(transaction, TENANT_LOGIN_GROUP);
    const existing = await readTenancyVersion(transaction);
    if (existing === 0) await writeTenancy(transaction, release);
    if (starter) await ensureRequestRole(transaction, starter);
    await ensureRequestSettings(transaction);
    return {
      tenancyVersion: existing || release.tenancyVersion,
      schemaVersion:
        shared && starter ? await ensureSharedTables(transaction, starter.roleName, release) : undefined,
    };
  });
}

/**
 * Rights on the database itself. A copy (`CREATE DATABASE … TEMPLATE`, a restored snapshot under another name) does not
 * inherit them, so they are a separate function. CONNECT stays granted to PUBLIC: every role of the cluster is ours,
 * and the proxy's own monitoring role needs it.
 */
export async function grantDatabase(transaction: DdlTransaction): Promise<void> {
  const { rows } = await sql<{ name: string; analytics: boolean }>`
    select pg_catalog.quote_ident(pg_catalog.current_database()) as name,
           pg_catalog.to_regrole(${ANALYTICS_ROLE}) is not null as analytics`.execute(transaction);
  const { name, analytics } = rows[0]!;
  await runStatements(transaction, [
    // A request's own temporary table or function could shadow one of ours.
    `REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC`,
    `GRANT CREATE, TEMPORARY ON DATABASE ${name} TO ${identifier(OWNER_ROLE)}`,
    // A concurrent refresh of a materialized view compares with a temporary table, which belongs to the view's owner.
    ...(analytics ? [`GRANT TEMPORARY ON DATABASE ${name} TO ${identifier(ANALYTICS_ROLE)}`] : []),
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
  ]);
}

/** Schema of the extension `pg_stat_statements`. */
const STATISTICS_SCHEMA = 'statistics';

/**
 * Statistics of statements, which alerts about slow ones read as the owner. The extension grants its view to everyone, and a
 * view's rows show the texts of other roles' statements only to `pg_monitor`; request roles do not even reach the schema.
 * An extension that is there already stays where it is.
 */
async function ensureStatistics(transaction: DdlTransaction): Promise<void> {
  const schema = identifier(STATISTICS_SCHEMA);
  const { rows } = await sql<{ installed: boolean; available: boolean }>`
    select exists (select from pg_catalog.pg_extension where extname = 'pg_stat_statements') as installed,
           exists (select from pg_catalog.pg_available_extensions where name = 'pg_stat_statements') as available`.execute(
    transaction,
  );
  const [{ installed, available } = { installed: true, available: false }] = rows;
  if (installed || !available) return;
  await runStatements(transaction, [
    `CREATE SCHEMA IF NOT EXISTS ${schema}`,
    `CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA ${schema}`,
    `GRANT USAGE ON SCHEMA ${schema} TO ${identifier(OWNER_ROLE)}`,
  ]);
}

/**
 * Prevents temporary tables of our roles in the databases that every cluster has. CONNECT stays granted there too: RDS
 * Proxy monitors its targets through `postgres`. `template1` belongs to RDS, and so do the large-object functions:
 * `dropTenantSchema` removes what a leaked credential leaves there.
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

/** @returns their version. */
async function ensureSharedTables(
  transaction: DdlTransaction,
  starterRole: string,
  { migrations }: Release,
): Promise<number> {
  const target = sharedTarget(starterRole);
  const executed = await readHistory(transaction, target);
  // A foreign history should fail the deployment, before a rollout meets it.
  missingMigrations(executed ?? [], migrations);
  const version = executed ? versionAfter(executed) : await createSharedTables();
  await ensureMonthPartitions(transaction, SHARED_SCHEMA, new Date(), MONTHS_READY);
  return version;

  async function createSharedTables(): Promise<number> {
    await runStatements(transaction, [
      `CREATE SCHEMA IF NOT EXISTS ${identifier(SHARED_SCHEMA)}`,
      `GRANT USAGE ON SCHEMA ${identifier(SHARED_SCHEMA)} TO ${identifier(starterRole)}`,
    ]);
    return migrateTenantTables(transaction, target, migrations);
  }
}
