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

/** The role that owns every schema and table of a data database and runs the DDL. Requests never log in as it. */
export const OWNER_ROLE = 'strata_owner';
/** The role whose members are all login roles of requests. It may call `tenancy.enter` and has no rights on tables. */
export const TENANT_LOGIN_GROUP = 'strata_tenant_login';
/** Owns the summaries of the shared tables and reads what they need of all tenants. Nobody logs in as it. */
export const ANALYTICS_ROLE = 'strata_analytics';

// biome-ignore lint/suspicious/noExplicitAny: DDL is not typed by the tables it creates.
export type DdlTransaction = Transaction<any>;

/** Runs `work` in one transaction on the given connection, so an interrupted run leaves nothing behind. */
export async function ddlTransaction<Result>(
  client: pg.ClientBase,
  work: (transaction: DdlTransaction) => Promise<Result>,
): Promise<Result> {
  return databaseOver(new PostgresDriver({ pool: poolOfOne(client) }))
    .transaction()
    .execute(work);
}

/**
 * Runs `work` in the transaction that the caller has opened on the connection and will end: what it creates or drops is
 * committed together with the caller's own statements, or not at all.
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

/** Runs any number of statements as one simple query, in one round trip. */
export async function runStatements(transaction: DdlTransaction, statements: string[]): Promise<void> {
  if (statements.length > 0) await sql.raw(statements.join(';\n')).execute(transaction);
}

/**
 * Serializes work on the same object of this database until the transaction ends. Requests never need that lock, so a
 * request session that holds it is ended.
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

/**
 * Ends sessions of requests that hold, or wait for, an advisory lock of the control plane. Requests never need one, but
 * EXECUTE on the advisory functions cannot be revoked on RDS, so a leaked credential can take any lock. Parameter `$1`
 * is the text whose hash is the key.
 */
export const END_LOCK_HOLDERS = `
  select pg_catalog.pg_terminate_backend(l.pid, 1000)
  from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity a on a.pid = l.pid
  join pg_catalog.pg_auth_members m on m.member = a.usesysid and m.inherit_option
  where m.roleid = pg_catalog.to_regrole('${TENANT_LOGIN_GROUP}') and a.usename <> current_user
    and l.locktype = 'advisory' and l.objsubid = 1 and a.datname = pg_catalog.current_database()
    and ((l.classid::bigint << 32) | l.objid::bigint) = pg_catalog.hashtextextended($1, 0)`;

/** @see END_LOCK_HOLDERS */
export async function endLockHolders(client: pg.ClientBase, lock: string): Promise<void> {
  await client.query(END_LOCK_HOLDERS, [lock]);
}
