import { missingMigrations, versionAfter, versionOf } from '../database/ddl/migration-history.ts';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { initialTables } from './migrations/0001-registry-tables.ts';
import { moveTables } from './migrations/0002-moves.ts';
import { moveNames } from './migrations/0003-move-names.ts';
import { meteringColumns } from './migrations/0004-metering.ts';
import { regionTables } from './migrations/0005-regions.ts';
import { rolloutTables } from './migrations/0006-rollouts.ts';
import { backupTables } from './migrations/0007-backups.ts';
import { ensureRegistryRole, READER_ROLE, registryGrants, WRITER_ROLE } from './registry-roles.ts';
import { lockByName } from './transaction-limits.ts';

/** One step of the registry's history. Released ones never change. */
export interface RegistryMigration {
  /** Begins with its number, four digits: migrations run in the order of their names. */
  readonly name: string;
  /** One statement each. They run in one transaction, as the master user. */
  readonly statements: readonly string[];
}

export const registryMigrations: readonly RegistryMigration[] = [
  { name: '0001-registry-tables', statements: initialTables },
  { name: '0002-moves', statements: moveTables },
  { name: '0003-move-names', statements: moveNames },
  { name: '0004-metering', statements: meteringColumns },
  { name: '0005-regions', statements: regionTables },
  { name: '0006-rollouts', statements: rolloutTables },
  { name: '0007-backups', statements: backupTables },
];

/** The version that this code gives to the registry: the number of its last migration. */
export const REGISTRY_VERSION = versionOf(registryMigrations.at(-1)?.name ?? '');

export interface RegistryRoles {
  readonly readerPassword: string;
  readonly writerPassword: string;
}

/**
 * Turns an empty database into the registry, or brings an older one up to date, with its two roles and their rights.
 * `registry` connects as the cluster's master user. One transaction under a lock: killed at any statement it leaves
 * nothing, run twice at once the second waits.
 * A registry that is ahead of this code, after a rollback of a deployment, keeps its tables.
 * @returns the version that the registry has now.
 * @throws {RegistryError} when PostgreSQL refused a statement; {TypeError} for a password that cannot be one;
 * {HistoryDiverged}.
 */
export async function bootstrapRegistry(
  registry: Pick<DataApi, 'transaction'>,
  { readerPassword, writerPassword }: RegistryRoles,
  migrations: readonly RegistryMigration[] = registryMigrations,
): Promise<number> {
  return registry.transaction(async (transaction) => {
    await lockByName(transaction, 'strata registry');
    const version = await migrate(transaction, migrations);
    await ensureRegistryRole(transaction, READER_ROLE, readerPassword);
    await ensureRegistryRole(transaction, WRITER_ROLE, writerPassword);
    for (const grant of registryGrants) await transaction.query(grant);
    return version;
  });
}

/** @returns the registry's version afterwards. @throws {HistoryDiverged} */
async function migrate(
  transaction: RegistryExecutor,
  migrations: readonly RegistryMigration[],
): Promise<number> {
  // Kysely's format, which released registries have.
  await transaction.query(
    `CREATE TABLE IF NOT EXISTS registry_schema_migrations
       (name varchar(255) PRIMARY KEY, "timestamp" varchar(255) NOT NULL)`,
  );
  const rows = await transaction.query<{ name: string }>('SELECT name FROM registry_schema_migrations');
  const executed = rows.map(({ name }) => name);
  const missing = missingMigrations(executed, migrations);
  for (const { name, statements } of missing) {
    for (const statement of statements) await transaction.query(statement);
    await transaction.query(
      'INSERT INTO registry_schema_migrations (name, "timestamp") VALUES (:name, :written)',
      { name, written: new Date() },
    );
  }
  return versionAfter([...executed, ...missing.map(({ name }) => name)]);
}
