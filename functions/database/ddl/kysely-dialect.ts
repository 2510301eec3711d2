import {
  type DatabaseIntrospector,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresQueryCompiler,
  type SchemaMetadata,
  sql,
  type TableMetadata,
} from 'kysely';

/** PostgreSQL as migrations see it, over whatever carries the statements. */
export function migrationDialect(createDriver: () => Driver): Dialect {
  return {
    createAdapter: () => new AdapterWithoutSessionLock(),
    createDriver,
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: (database) => new MigrationTableIntrospector(database),
  };
}

/**
 * Kysely's own lock is a session lock for the whole database: a failed migration would keep it until the session
 * ends, and tenants would wait for each other. Our callers hold a lock of their transaction instead.
 */
class AdapterWithoutSessionLock extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}

/** The migrator asks only whether its tables exist; the stock answer reads every column of a thousand schemas. */
class MigrationTableIntrospector implements DatabaseIntrospector {
  // biome-ignore lint/suspicious/noExplicitAny: whatever database it is.
  readonly #database: Kysely<any>;
  // biome-ignore lint/suspicious/noExplicitAny: see above.
  constructor(database: Kysely<any>) {
    this.#database = database;
  }

  async getSchemas(): Promise<SchemaMetadata[]> {
    const { rows } = await sql<SchemaMetadata>`select nspname as name from pg_catalog.pg_namespace`.execute(
      this.#database,
    );
    return rows;
  }

  async getTables(): Promise<TableMetadata[]> {
    const { rows } = await sql<{ schema: string; name: string }>`
      select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and c.relname like '%schema\_migrations%'`.execute(this.#database);
    return rows.map(({ schema, name }) => ({ schema, name, isView: false, isForeign: false, columns: [] }));
  }
}
