import {
  type DatabaseIntrospector,
  Kysely,
  PostgresAdapter,
  PostgresDriver,
  PostgresQueryCompiler,
  type SchemaMetadata,
  sql,
  type TableMetadata,
  type Transaction,
} from 'kysely';
import type pg from 'pg';

// biome-ignore lint/suspicious/noExplicitAny: DDL is not typed by the tables it creates.
export type DdlTransaction = Transaction<any>;

/** Runs `work` in one transaction on the given connection: a crash at any statement leaves nothing of it behind. */
export async function ddlTransaction<Result>(
  client: pg.ClientBase,
  work: (transaction: DdlTransaction) => Promise<Result>,
): Promise<Result> {
  // biome-ignore lint/suspicious/noExplicitAny: see above.
  const database = new Kysely<any>({
    dialect: {
      createAdapter: () => new AdapterWithoutSessionLock(),
      createDriver: () => new PostgresDriver({ pool: poolOfOne(client) }),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new MigrationTableIntrospector(db),
    },
  });
  return database.transaction().execute(work);
}

/** Runs statements as one simple query: one round trip, whatever their number. */
export async function runStatements(transaction: DdlTransaction, statements: string[]): Promise<void> {
  if (statements.length > 0) await sql.raw(statements.join(';\n')).execute(transaction);
}

/** Serializes those who work on the same thing of this database, until the transaction ends. */
export async function lockForDdl(transaction: DdlTransaction, name: string): Promise<void> {
  await sql`select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${`strata ddl ${name}`}, 0))`.execute(
    transaction,
  );
}

function poolOfOne(client: pg.ClientBase) {
  const connection = {
    query: client.query.bind(client),
    release: () => {},
  };
  return { connect: async () => connection, end: async () => {} } as never;
}

/**
 * Kysely's own lock is a session lock for the whole database: a failed migration would keep it until the session
 * ends, and tenants would wait for each other. Our callers hold `lockForDdl` instead.
 */
class AdapterWithoutSessionLock extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}

/** The migrator asks only whether its tables exist; the stock answer reads every column of a thousand schemas. */
class MigrationTableIntrospector implements DatabaseIntrospector {
  // biome-ignore lint/suspicious/noExplicitAny: see above.
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
