import { sql } from 'kysely';
import { type DdlTransaction, runStatements } from '../ddl/ddl-connection.ts';
import { literal, qualified } from '../ddl/identifier.ts';
import { missingMigrations, versionAfter } from '../ddl/migration-history.ts';
import type { RenderTarget } from './render-tables.ts';
import { type TenantMigration, tenantMigrations } from './tenant-migrations.ts';

/** One set of tenant tables, and the table of its own history. */
export interface MigrationTarget extends RenderTarget {
  readonly historySchema: string;
}

export function sharedTarget(starterRole: string): MigrationTarget {
  return { model: 'shared', schema: SHARED_SCHEMA, requestRole: starterRole, historySchema: 'tenancy' };
}

export function isolatedTarget(schemaName: string, roleName: string): MigrationTarget {
  return { model: 'isolated', schema: schemaName, requestRole: roleName, historySchema: schemaName };
}

export const SHARED_SCHEMA = 'shared';

/**
 * Brings one target up to date, in the caller's transaction; does nothing when it is. Two or three round trips without
 * a search of the catalogue, because a cell has a thousand schemas. The caller holds the target's lock and is its
 * owner.
 * @throws {HistoryDiverged} or PostgreSQL's own error of a failed statement.
 * @returns the version that the target has now: the code's, or a later one.
 */
export async function migrateTenantTables(
  transaction: DdlTransaction,
  target: MigrationTarget,
  migrations: readonly TenantMigration[] = tenantMigrations,
): Promise<number> {
  const executed = await readHistory(transaction, target);
  await runStatements(transaction, migrationStatements(target, executed, migrations));
  return versionAfter([...(executed ?? []), ...missingMigrations(executed ?? [], migrations).map(nameOf)]);
}

/**
 * The statements that bring a target up to date and write its history.
 * @param executed names of the migrations that have run there; undefined when it has no history.
 * @throws {HistoryDiverged}
 */
export function migrationStatements(
  target: MigrationTarget,
  executed: readonly string[] | undefined,
  migrations: readonly TenantMigration[] = tenantMigrations,
): string[] {
  const missing = missingMigrations(executed ?? [], migrations);
  const history = historyTable(target);
  // Kysely's format, which released databases have.
  const created = `CREATE TABLE ${history} (name varchar(255) PRIMARY KEY, "timestamp" varchar(255) NOT NULL)`;
  const written = literal(new Date().toISOString());
  return [
    ...(executed === undefined ? [created] : []),
    ...missing.flatMap(({ name, up }) => [
      ...up(target),
      `INSERT INTO ${history} (name, "timestamp") VALUES (${literal(name)}, ${written})`,
    ]),
  ];
}

/** Names of the migrations that have run on the target; undefined when it has no history. */
export async function readHistory(
  transaction: DdlTransaction,
  target: MigrationTarget,
): Promise<string[] | undefined> {
  const history = historyTable(target);
  const { rows } = await sql<{ found: boolean }>`
    select pg_catalog.to_regclass(${history}) is not null as found`.execute(transaction);
  if (!rows[0]?.found) return undefined;
  const executed = await sql<{ name: string }>`select name from ${sql.raw(history)}`.execute(transaction);
  return executed.rows.map(nameOf);
}

/** Qualified and quoted. */
export function historyTable({ model, historySchema }: MigrationTarget): string {
  return qualified(historySchema, model === 'shared' ? 'shared_schema_migrations' : 'schema_migrations');
}

const nameOf = ({ name }: { readonly name: string }) => name;
