/**
 * One tenant's transactions on one connection.
 *
 * States of a transaction: opening (BEGIN and `tenancy.enter` are on the wire) → entered → committing → done
 *                          any of the first three ──error──▶ rolled back, or the connection is destroyed
 * A batch that pipelines is in all of them at once: BEGIN to COMMIT is one burst, of which the server runs what comes
 * before the first error.
 * Invariants:
 * - the tenant is a property of the transaction, never of the session: nothing is left on a connection given back;
 * - no statement of ours is believed before `enter` has answered: where `enter` failed, its error is the one told;
 * - after COMMIT was sent, a lost connection is `CommitUnknown` for a write: the work may have happened.
 */
import type { Compilable } from 'kysely';
import type pg from 'pg';
import { CommitUnknown } from '../errors.ts';
import type { DatabaseAddress, DatabasePools } from './pools.ts';
import { classifyDatabaseError, isConnectionLost, sqlStateOf } from './sql-state.ts';
import { StatementBurst } from './statement-burst.ts';

export type Access = 'read' | 'write';

/** As which tenant, and at which epoch of its placement, a transaction runs. */
export interface TenantEntry {
  readonly tenantId: string;
  readonly epoch: number;
}

/** A statement of the query builder, compiled when it is sent. */
export type Statement<Row> = Pick<Compilable<Row>, 'compile'>;
export type RowsOf<Statements extends readonly Statement<unknown>[]> = {
  -readonly [Index in keyof Statements]: Statements[Index] extends Statement<infer Row> ? Row[] : never;
};

/** What work inside a tenant's transaction may do: run statements, nothing else. */
export interface TenantTransaction {
  query<Row>(statement: Statement<Row>): Promise<Row[]>;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** A connection idle for longer may have been closed by the server without our knowing (a frozen Lambda sees nothing). */
const SURELY_ALIVE_MS = 1_000;
const lastUsed = new WeakMap<pg.PoolClient, number>();

/**
 * Runs the statements in one transaction and, where the connection pipelines, in one round trip.
 * A failed statement rolls all of them back.
 * @throws the errors of `./errors.ts`, or PostgreSQL's own (a constraint's, say).
 */
export async function runTenantBatch<const Statements extends readonly Statement<unknown>[]>(
  pools: DatabasePools,
  address: DatabaseAddress,
  entry: TenantEntry,
  access: Access,
  statements: Statements,
): Promise<RowsOf<Statements>> {
  return withConnection(pools, address, async (connection) => {
    if (!pools.pipeline) {
      await connection.open(entry, access);
      const rows = await Promise.all(statements.map((statement) => connection.send(statement)));
      await connection.commit(access);
      return rows as RowsOf<Statements>;
    }
    // COMMIT travels with the statements: over a connection that is not surely alive, a write could not tell
    // "never arrived" from "committed". Waiting for `enter` there costs one round trip on rare occasions.
    const inOne = access === 'read' || connection.surelyAlive;
    if (!inOne) await connection.open(entry, access);
    return (await connection.burst(inOne ? entry : undefined, access, statements)) as RowsOf<Statements>;
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
    const opening = settled(connection.open(entry, access));
    if (!pools.pipeline) await opening;
    const result = await work({
      query: async (statement) => {
        const answer = settled(connection.send(statement));
        await opening;
        return answer;
      },
    });
    await opening;
    await connection.commit(access);
    return result;
  });
}

interface Connection {
  readonly surelyAlive: boolean;
  open(entry: TenantEntry, access: Access): Promise<void>;
  send<Row>(statement: Statement<Row>): Promise<Row[]>;
  commit(access: Access): Promise<void>;
  /** The statements and COMMIT in one round trip, after BEGIN and `enter` where an entry is given. */
  burst(
    entry: TenantEntry | undefined,
    access: Access,
    statements: readonly Statement<unknown>[],
  ): Promise<unknown[][]>;
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
  let failure: unknown;
  let previous: Promise<unknown> = Promise.resolve();
  const connection: Connection = {
    surelyAlive: performance.now() - (lastUsed.get(client) ?? -SURELY_ALIVE_MS) < SURELY_ALIVE_MS,
    async open(entry, access) {
      // One simple query: without pipelining too it is one round trip.
      await client.query(`${begin(access)}; ${enter(entry, access)}`);
    },
    async send(statement) {
      const { sql, parameters } = statement.compile();
      // Without pipelining the driver takes one statement at a time: the next one waits for the answer.
      // The simple protocol, which the driver picks for a statement without parameters, takes several at once.
      const query = { text: sql, values: parameters as unknown[], queryMode: 'extended' } as pg.QueryConfig;
      const answer = pools.pipeline ? client.query(query) : previous.then(() => client.query(query));
      previous = settled(answer);
      return (await answer).rows;
    },
    async commit(access) {
      try {
        requireCommitted(await client.query('COMMIT'));
      } catch (error) {
        if (access === 'write' && isConnectionLost(error)) throw commitUnknown(error);
        throw error;
      }
    },
    async burst(entry, access, statements) {
      const opening = entry
        ? [
            { text: begin(access), rows: false },
            { text: enter(entry, access), rows: false },
          ]
        : [];
      const compiled = statements.map((statement) => {
        const { sql, parameters } = statement.compile();
        return { text: sql, values: parameters, rows: true };
      });
      const burst = new StatementBurst([...opening, ...compiled, { text: 'COMMIT', rows: false }]);
      const beforeCommit = opening.length + compiled.length;
      try {
        client.query(burst);
        const results = await burst.results;
        requireCommitted(results[beforeCommit]);
        return results.slice(opening.length, beforeCommit).map(({ rows }) => rows);
      } catch (error) {
        // Where the server itself ended the session, it told so in place of the answer to what it was running.
        const reachedCommit = sqlStateOf(error) === undefined || burst.completed >= beforeCommit;
        if (access === 'write' && isConnectionLost(error) && burst.sent && reachedCommit)
          throw commitUnknown(error);
        throw error;
      }
    },
  };
  try {
    return await work(connection);
  } catch (error) {
    failure = error;
    throw error instanceof CommitUnknown ? error : classifyDatabaseError(error);
  } finally {
    await giveBack(client, failure);
  }
}

/** Leaves no transaction behind; a connection in doubt is closed, not reused. */
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

function begin(access: Access): string {
  return access === 'read'
    ? 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'
    : 'BEGIN ISOLATION LEVEL READ COMMITTED';
}

/** Both values are validated here: they are not parameters, which a simple query cannot have. */
function enter({ tenantId, epoch }: TenantEntry, access: Access): string {
  if (!UUID.test(tenantId)) throw new TypeError('tenantId is not a lower-case UUID');
  if (!Number.isSafeInteger(epoch)) throw new TypeError('epoch is not an integer');
  return `SELECT tenancy.enter('${tenantId}', ${epoch}, '${access}')`;
}

/** PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK and no error. */
function requireCommitted(answer: pg.QueryResult | undefined): void {
  if (answer?.command !== 'COMMIT') throw new Error(`the transaction ended with ${answer?.command}`);
}

function commitUnknown(cause: unknown): CommitUnknown {
  return new CommitUnknown('the connection ended before COMMIT was answered', { cause });
}

/** The promise itself, marked as looked after: it may fail before anybody awaits it. */
function settled<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {});
  return promise;
}
