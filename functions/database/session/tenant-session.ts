/**
 * One tenant's transactions on one connection.
 *
 * States of a transaction: opening (BEGIN and `tenancy.enter` are on the wire) → entered → committing → done
 *                          any of the first three ──error──▶ rolled back, or the connection is destroyed
 *
 * A pipelined batch is in all of them at once: COMMIT is sent before the answer of `enter`, and after an error the
 * server turns it into a ROLLBACK. Invariants:
 * - the tenant is a property of the transaction, never of the session: nothing of it stays on a released connection;
 * - no result is used before `enter` has succeeded: when `enter` failed, its error is the one that is thrown;
 * - after COMMIT was sent, a lost connection is `CommitUnknown` for a write: the work may have been committed.
 */

import type { CompiledQuery } from 'kysely';
import pg from 'pg';
import { isUuid } from '../../contracts/tenant.ts';
import { CommitUnknown } from '../errors.ts';
import { TENANT_SCHEMA_VERSION } from '../tables/schema-version.ts';
import { addDatabaseTime } from './database-time.ts';
import type { DatabaseAddress, DatabasePools } from './pools.ts';
import { classifyDatabaseError, isConnectionLost, sqlStateOf } from './sql-state.ts';
import type { RowsOf, Statement } from './tenant-sql.ts';

export type Access = 'read' | 'write';

/** The tenant of a transaction, and the epoch of its placement. */
export interface TenantEntry {
  readonly tenantId: string;
  readonly epoch: number;
  /** Version of the tables there; a target of unknown version is treated as current. */
  readonly schemaVersion?: number | undefined;
}

/** What work inside a tenant's transaction may do: run statements, nothing else. */
export interface TenantTransaction {
  query<Row>(statement: Statement<Row>): Promise<Row[]>;
}

/**
 * A connection that was idle for longer may have been closed by the server unnoticed (a frozen Lambda receives
 * nothing).
 */
const SURELY_ALIVE_MS = 1_000;
/** The driver's own conversion, which its type declarations leave out. */
const { prepareValue } = (pg as unknown as { utils: { prepareValue(value: unknown): unknown } }).utils;
const lastUsed = new WeakMap<pg.PoolClient, number>();

/**
 * Runs the statements in one transaction and, when the connection pipelines, in one round trip. A failed statement
 * rolls all of them back.
 * @throws the errors of `./errors.ts`, or PostgreSQL's own (a constraint's, for example).
 */
export async function runTenantBatch<const Statements extends readonly Statement<unknown>[]>(
  pools: DatabasePools,
  address: DatabaseAddress,
  entry: TenantEntry,
  access: Access,
  statements: Statements,
): Promise<RowsOf<Statements>> {
  return withConnection(pools, address, async (connection) => {
    const entering = settled(connection.open(opening(entry, access)));
    // Compile all of them before sending any: otherwise COMMIT would follow after a statement that could not be
    // compiled.
    const compile = compilerFor(entry) ?? (await fittingCompiler(entry));
    const queries = statements.map((statement) => queryOf(compile(statement)));
    if (!pools.pipeline) {
      await entering;
      const rows = await Promise.all(queries.map((query) => connection.send(query)));
      await connection.commit(access);
      return rows as RowsOf<Statements>;
    }
    // COMMIT travels with the statements. On a connection that may be dead, a write could then not tell "never arrived"
    // from "committed". Waiting for `enter` in that rare case costs one round trip.
    if (access === 'write' && !connection.surelyAlive) await entering;
    // Two packets, so that the server enters the tenant while the statements are compiled. More packets would only cost
    // system calls and wake-ups on both sides.
    const [answers, committing] = connection.inOnePacket(() => [
      settled(Promise.all(queries.map((query) => connection.send(query)))),
      settled(connection.commit(access)),
    ]);
    try {
      await entering;
      const rows = await answers;
      await committing;
      return rows as RowsOf<Statements>;
    } catch (error) {
      if (access === 'write' && sqlStateOf(error) === undefined && isConnectionLost(error))
        throw commitUnknown(error);
      throw error;
    }
  });
}

/**
 * Runs `work` in one transaction; its statements see each other's results. COMMIT is sent when it resolves,
 * ROLLBACK when it throws.
 */
export async function runTenantTransaction<Result>(
  pools: DatabasePools,
  address: DatabaseAddress,
  entry: TenantEntry,
  access: Access,
  work: (transaction: TenantTransaction) => Promise<Result>,
): Promise<Result> {
  return withConnection(pools, address, async (connection) => {
    const entering = settled(connection.open(opening(entry, access)));
    if (!pools.pipeline) await entering;
    const compile = compilerFor(entry) ?? (await fittingCompiler(entry));
    const result = await work({
      query: async <Row>(statement: Statement<Row>) => {
        const answer = settled(connection.send<Row>(queryOf(compile(statement))));
        await entering;
        return answer;
      },
    });
    await entering;
    await connection.commit(access);
    return result;
  });
}

interface Connection {
  readonly surelyAlive: boolean;
  open(begin: string): Promise<void>;
  send<Row>(query: pg.QueryConfig): Promise<Row[]>;
  commit(access: Access): Promise<void>;
  /** Statements of `queue` are sent at once when it returns. */
  inOnePacket<Result>(queue: () => Result): Result;
}

async function withConnection<Result>(
  pools: DatabasePools,
  address: DatabaseAddress,
  work: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  let client: pg.PoolClient;
  try {
    client = await pools.connect(address);
  } catch (error) {
    throw classifyDatabaseError(error);
  }
  const checkedOut = performance.now();
  let failure: unknown;
  let previous: Promise<unknown> = Promise.resolve();
  const connection: Connection = {
    surelyAlive: performance.now() - (lastUsed.get(client) ?? -SURELY_ALIVE_MS) < SURELY_ALIVE_MS,
    async open(begin) {
      await client.query(begin);
    },
    async send(query) {
      // Without pipelining the driver takes one statement at a time: the next one waits for the answer.
      const answer = pools.pipeline ? client.query(query) : previous.then(() => client.query(query));
      previous = settled(answer);
      return (await answer).rows;
    },
    async commit(access) {
      try {
        const { command } = await client.query('COMMIT');
        // PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK and no error.
        if (command !== 'COMMIT') throw new Error(`the transaction ended with ${command}`);
      } catch (error) {
        if (access === 'write' && isConnectionLost(error)) throw commitUnknown(error);
        throw error;
      }
    },
    inOnePacket(queue) {
      const { stream } = client.connection;
      stream.cork();
      try {
        return queue();
      } finally {
        stream.uncork();
      }
    },
  };
  try {
    return await work(connection);
  } catch (error) {
    failure = error;
    throw error instanceof CommitUnknown ? error : classifyDatabaseError(error);
  } finally {
    addDatabaseTime(performance.now() - checkedOut);
    await giveBack(client, failure);
  }
}

/** Leaves no transaction behind; a connection in an unknown state is closed, not reused. */
async function giveBack(client: pg.PoolClient, failure: unknown): Promise<void> {
  let broken = isConnectionLost(failure) || failure instanceof CommitUnknown;
  if (failure && !broken) {
    await client.query('ROLLBACK').catch(() => {
      broken = true;
    });
  }
  lastUsed.set(client, performance.now());
  client.release(broken);
}

/** BEGIN and `enter` as one simple query. Both values are validated here, because they are not parameters. */
function opening({ tenantId, epoch }: TenantEntry, access: Access): string {
  if (!isUuid(tenantId)) throw new TypeError('tenantId is not a lower-case UUID');
  if (!Number.isSafeInteger(epoch)) throw new TypeError('epoch is not an integer');
  const begin =
    access === 'read'
      ? 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'
      : 'BEGIN ISOLATION LEVEL READ COMMITTED';
  return `${begin}; SELECT tenancy.enter('${tenantId}', ${epoch}, '${access}')`;
}

type Compiler = (statement: Statement<unknown>) => CompiledQuery;

/**
 * undefined when statements must be adapted to the target, because its tables are older than the code. Newer tables
 * have everything that the code names: a version drops only what the code of the version before no longer names.
 */
function compilerFor({ schemaVersion = TENANT_SCHEMA_VERSION }: TenantEntry): Compiler | undefined {
  return schemaVersion < TENANT_SCHEMA_VERSION ? undefined : (statement) => statement.compile();
}

/** Loaded on first use: targets lag only for minutes after a deployment, and the code would slow every cold start. */
async function fittingCompiler({ schemaVersion = TENANT_SCHEMA_VERSION }: TenantEntry): Promise<Compiler> {
  const { compileOnTarget } = await import('./statement-on-target.ts');
  return (statement) => compileOnTarget(statement, schemaVersion);
}

/**
 * The driver converts values while it writes, and skips a statement whose values it cannot convert. So they are
 * converted here.
 */
function queryOf({ sql, parameters }: CompiledQuery): pg.QueryConfig {
  const values = parameters.map((value) => prepareValue(value));
  // The simple protocol, which the driver uses for a statement without parameters, accepts several statements at once.
  return { text: sql, values, queryMode: 'extended' } as pg.QueryConfig;
}

function commitUnknown(cause: unknown): CommitUnknown {
  return new CommitUnknown('the connection ended before COMMIT was answered', { cause });
}

/** The promise itself, with a handler attached: it may reject before it is awaited. */
function settled<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {});
  return promise;
}
