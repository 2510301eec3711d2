import { Migrator } from 'kysely/migration';
import { type DdlTransaction, runStatements } from '../ddl/ddl-connection.ts';
import type { RenderTarget } from './render-tables.ts';
import { type TenantMigration, tenantMigrations } from './tenant-migrations.ts';

/** One set of tenant tables, and where its own history is kept. */
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
 * Brings one target up to date, in the caller's transaction; does nothing where it is.
 * The caller holds the target's lock and is its owner.
 * @throws Kysely's error about a corrupted history, or PostgreSQL's own of a failed statement.
 * @returns the names of the migrations that ran.
 */
export async function migrateTenantTables(
  transaction: DdlTransaction,
  target: MigrationTarget,
  migrations: readonly TenantMigration[] = tenantMigrations,
): Promise<string[]> {
  const history = target.model === 'shared' ? 'shared_schema_migrations' : 'schema_migrations';
  const migrator = new Migrator({
    db: transaction,
    migrationTableSchema: target.historySchema,
    migrationTableName: history,
    migrationLockTableName: `${history}_lock`,
    provider: {
      getMigrations: async () =>
        Object.fromEntries(
          migrations.map(({ name, up }) => [
            name,
            { up: (db: DdlTransaction) => runStatements(db, up(target)) },
          ]),
        ),
    },
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error) throw error;
  return results.map(({ migrationName }) => migrationName);
}
