import { Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { meteringColumns } from './metering-columns.ts';
import { moveNames } from './move-names.ts';
import { moveTables } from './move-tables.ts';
import { regionTables } from './region-tables.ts';
import { registryDialect } from './registry-dialect.ts';
import { ensureRegistryRole, READER_ROLE, registryGrants, WRITER_ROLE } from './registry-roles.ts';
import { registryTables } from './registry-tables.ts';
import { rolloutTables } from './rollout-tables.ts';

/** One step of the registry's history. Released ones never change. */
export interface RegistryMigration {
  /** Begins with its number, four digits: migrations run in the order of their names. */
  readonly name: string;
  /** One statement each. They run in one transaction, as the master user. */
  readonly statements: readonly string[];
}

export const registryMigrations: readonly RegistryMigration[] = [
  { name: '0001-registry-tables', statements: registryTables },
  { name: '0002-moves', statements: moveTables },
  { name: '0003-move-names', statements: moveNames },
  { name: '0004-metering', statements: meteringColumns },
  { name: '0005-regions', statements: regionTables },
  { name: '0006-rollouts', statements: rolloutTables },
];

export interface RegistryRoles {
  readonly readerPassword: string;
  readonly writerPassword: string;
}

/**
 * Turns an empty database into the registry, or brings an older one up to date, with its two roles and their rights.
 * `registry` connects as the cluster's master user. One transaction under a lock: killed at any statement it leaves
 * nothing, run twice at once the second waits.
 * @throws {RegistryError} when PostgreSQL refused a statement; {TypeError} for a password that cannot be one.
 */
export async function bootstrapRegistry(
  registry: Pick<DataApi, 'transaction'>,
  { readerPassword, writerPassword }: RegistryRoles,
  migrations: readonly RegistryMigration[] = registryMigrations,
): Promise<void> {
  await registry.transaction(async (transaction) => {
    await transaction.query(
      "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('strata registry', 0))::text as locked",
    );
    await migrate(transaction, migrations);
    await ensureRegistryRole(transaction, READER_ROLE, readerPassword);
    await ensureRegistryRole(transaction, WRITER_ROLE, writerPassword);
    for (const grant of registryGrants) await transaction.query(grant);
  });
}

async function migrate(
  transaction: RegistryExecutor,
  migrations: readonly RegistryMigration[],
): Promise<void> {
  const database = new Kysely<unknown>({ dialect: registryDialect(transaction) });
  const { error } = await database.transaction().execute((db) =>
    new Migrator({
      db,
      migrationTableName: 'registry_schema_migrations',
      migrationLockTableName: 'registry_schema_migrations_lock',
      provider: {
        getMigrations: async () =>
          Object.fromEntries(
            migrations.map(({ name, statements }) => [
              name,
              {
                up: async (target) => {
                  for (const statement of statements) await sql.raw(statement).execute(target);
                },
              },
            ]),
          ),
      },
    }).migrateToLatest(),
  );
  if (error) throw error;
}
