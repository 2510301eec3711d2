/**
 * Statements that travel together: one packet with one Sync at its end, and one packet of answers back.
 *
 * States: queued ──submit──▶ sent ──CommandComplete of each──▶ … ──ReadyForQuery──▶ answered
 *                                  └──error──▶ failed: the server passes over everything up to the Sync
 * Invariants: nothing runs after a statement that failed; a value that cannot be sent is refused before anything is.
 *
 * This is what JDBC's driver sends for BEGIN and the statement behind it, so poolers know it. The driver's own
 * pipelining puts a Sync behind every statement instead, which makes the server answer (and both sides wake up) for
 * each of them, and run those behind a failed one only to refuse them: a point read costs some 15 % more that way.
 */
import type { Duplex } from 'node:stream';
import pg from 'pg';

export interface BurstStatement {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** False where its rows are of no interest: they are not described then, and not kept. */
  readonly rows: boolean;
}

/** The driver's side of a query, which its type declarations leave out. */
interface DriverQuery {
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: unknown): void;
}

/** What of the driver's connection a query writes to. */
interface Wire {
  readonly stream: Duplex;
  parse(message: { text: string }): void;
  bind(message: { values: unknown[] }): void;
  describe(message: { type: 'P' }): void;
  execute(message: Record<string, never>): void;
  sync(): void;
}

type Results = pg.QueryResult[] | pg.QueryResult;
type Callback = (error: Error | null, results: Results) => void;
// A subclass and not a class of its own: the driver refuses strangers on a pipelining connection.
const DriverQuery = pg.Query as unknown as new (config: { text: string; callback: Callback }) => DriverQuery;
const { prepareValue } = (pg as unknown as { utils: { prepareValue(value: unknown): unknown } }).utils;

/** To be given to `client.query`, once. */
export class StatementBurst extends DriverQuery implements pg.Submittable {
  /** One result per statement; rejected with the first error of a statement or of the connection. */
  readonly results: Promise<pg.QueryResult[]>;
  readonly #statements: readonly BurstStatement[];
  readonly #values: readonly unknown[][];
  #sent = false;
  #completed = 0;

  constructor(statements: readonly BurstStatement[]) {
    const { promise, resolve, reject } = Promise.withResolvers<pg.QueryResult[]>();
    super({ text: '', callback: (error, results) => (error ? reject(error) : resolve([results].flat())) });
    this.results = promise;
    this.#statements = statements;
    this.#values = statements.map(({ values = [] }) => values.map((value) => prepareValue(value)));
  }

  /** False where the connection was gone before. */
  get sent(): boolean {
    return this.#sent;
  }

  /** How many statements are known to have run to their end. */
  get completed(): number {
    return this.#completed;
  }

  submit(connection: unknown): void {
    const wire = connection as Wire;
    this.#sent = true;
    wire.stream.cork();
    try {
      for (const [index, { text, rows }] of this.#statements.entries()) {
        wire.parse({ text });
        wire.bind({ values: this.#values[index] as unknown[] });
        if (rows) wire.describe({ type: 'P' });
        wire.execute({});
      }
      wire.sync();
    } finally {
      wire.stream.uncork();
    }
  }

  override handleDataRow(message: unknown): void {
    if (this.#statements[this.#completed]?.rows) super.handleDataRow(message);
  }

  override handleCommandComplete(message: unknown, connection: unknown): void {
    this.#completed++;
    super.handleCommandComplete(message, connection);
  }
}
