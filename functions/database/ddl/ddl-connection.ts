import {
  CompiledQuery,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresDriver,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
  type Transaction,
} from 'kysely';
import type pg from 'pg';
import { END_LOCK_HOLDERS } from './end-lock-holders.ts';

// biome-ignore lint/suspicious/noExplicitAny: DDL is not typed by the tables it creates.
export type DdlTransaction = Transaction<any>;

/** Runs `work` in one transaction on the given connection: a crash at any statement leaves nothing of it behind. */
export async function ddlTransaction<Result>(
  client: pg.ClientBase,
  work: (transaction: DdlTransaction) => Promise<Result>,
): Promise<Result> {
  return databaseOver(new PostgresDriver({ pool: poolOfOne(client) }))
    .transaction()
    .execute(work);
}

/**
 * Runs `work` in the transaction that the caller has open on the connection and will end: what it creates or drops
 * is committed with what the transaction has checked, or not at all.
 */
export async function joinedTransaction<Result>(
  client: pg.ClientBase,
  work: (transaction: DdlTransaction) => Promise<Result>,
): Promise<Result> {
  return databaseOver(new JoiningDriver({ pool: poolOfOne(client) }))
    .transaction()
    .execute(work);
}

class JoiningDriver extends PostgresDriver {
  override async beginTransaction(): Promise<void> {}
  override async commitTransaction(): Promise<void> {}
  override async rollbackTransaction(): Promise<void> {}
}

// biome-ignore lint/suspicious/noExplicitAny: see above.
function databaseOver(driver: Driver): Kysely<any> {
  return new Kysely({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => driver,
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (database) => new PostgresIntrospector(database),
    },
  });
}

/** Runs statements as one simple query: one round trip, whatever their number. */
export async function runStatements(transaction: DdlTransaction, statements: string[]): Promise<void> {
  if (statements.length > 0) await sql.raw(statements.join(';\n')).execute(transaction);
}

/**
 * Serializes those who work on the same thing of this database, until the transaction ends. Requests have no business
 * with that lock: a session of theirs that holds it is ended.
 */
export async function lockForDdl(transaction: DdlTransaction, name: string): Promise<void> {
  const lock = ddlLock(name);
  const { rows } = await sql<{ locked: boolean }>`
    select pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(${lock}, 0)) as locked`.execute(
    transaction,
  );
  if (rows[0]?.locked) return;
  await transaction.executeQuery(CompiledQuery.raw(END_LOCK_HOLDERS, [lock]));
  await sql`select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${lock}, 0))`.execute(
    transaction,
  );
}

/** The text whose hash is the key of that lock. */
export const ddlLock = (name: string) => `strata ddl ${name}`;

function poolOfOne(client: pg.ClientBase) {
  const connection = {
    query: client.query.bind(client),
    release: () => {},
  };
  return { connect: async () => connection, end: async () => {} } as never;
}
