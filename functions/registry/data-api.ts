import type { SqlParameter } from '@aws-sdk/client-rds-data';
import { rdsDataClient } from '../aws/clients.ts';
import { type RegistryEnvironment, variable } from '../contracts/environments.ts';
import { RegistryError } from './errors.ts';

/** A value of a named parameter. Objects travel as JSON text, dates as ISO 8601 text: cast both in the SQL. */
export type RegistryValue = string | number | boolean | null | Date | object;
export type RegistryParameters = Record<string, RegistryValue | undefined>;

/** What registry code needs of a connection, inside or outside a transaction. */
export interface RegistryExecutor {
  /**
   * Runs one statement with `:name` parameters and returns its rows.
   * The Data API binds every string as text, so `uuid`, `jsonb` and `timestamptz` values need an explicit cast.
   * @throws {RegistryError} with the SQLSTATE when PostgreSQL refused the statement.
   */
  query<Row extends object>(sql: string, parameters?: RegistryParameters): Promise<Row[]>;
}

export interface DataApiTarget {
  readonly clusterArn: string;
  /** A function is asked anew before each call: it remembers what it found. */
  readonly secretArn: string | (() => Promise<string>);
  readonly database: string;
  /** AWS region of the cluster and its secret, where it is not the function's own. */
  readonly region?: string;
}

/** The control-plane database over the RDS Data API: no connection to hold, no VPC needed. */
export class DataApi implements RegistryExecutor {
  readonly #target: DataApiTarget;

  constructor(target: DataApiTarget) {
    this.#target = target;
  }

  query<Row extends object>(sql: string, parameters: RegistryParameters = {}): Promise<Row[]> {
    return this.#execute<Row>(sql, parameters, undefined);
  }

  /**
   * Runs `work` in one transaction; commits when it resolves, rolls back when it throws.
   * Statements of one transaction must be awaited one after the other: the Data API refuses parallel calls.
   */
  async transaction<Result>(work: (transaction: RegistryExecutor) => Promise<Result>): Promise<Result> {
    const { BeginTransactionCommand, CommitTransactionCommand, RollbackTransactionCommand } = await import(
      '@aws-sdk/client-rds-data'
    );
    const client = await rdsDataClient(this.#target.region);
    const { clusterArn: resourceArn, database } = this.#target;
    const secretArn = await this.#secretArn();
    const { transactionId } = await client.send(
      new BeginTransactionCommand({ resourceArn, secretArn, database }),
    );
    let result: Result;
    try {
      result = await work({
        query: <Row extends object>(sql: string, parameters: RegistryParameters = {}) =>
          this.#execute<Row>(sql, parameters, transactionId),
      });
    } catch (error) {
      // The rollback is a courtesy that frees the locks early; the first error is the one to tell.
      await client
        .send(new RollbackTransactionCommand({ resourceArn, secretArn, transactionId }))
        .catch(() => {});
      throw error;
    }
    await client.send(new CommitTransactionCommand({ resourceArn, secretArn, transactionId }));
    return result;
  }

  async #execute<Row extends object>(
    sql: string,
    parameters: RegistryParameters,
    transactionId: string | undefined,
  ): Promise<Row[]> {
    const { ExecuteStatementCommand } = await import('@aws-sdk/client-rds-data');
    const client = await rdsDataClient(this.#target.region);
    const secretArn = await this.#secretArn();
    try {
      const answer = await client.send(
        new ExecuteStatementCommand({
          resourceArn: this.#target.clusterArn,
          secretArn,
          database: this.#target.database,
          sql,
          parameters: Object.entries(parameters).map(([name, value]) => toSqlParameter(name, value)),
          formatRecordsAs: 'JSON',
          ...(transactionId ? { transactionId } : {}),
        }),
      );
      return answer.formattedRecords ? (JSON.parse(answer.formattedRecords) as Row[]) : [];
    } catch (error) {
      throw toRegistryError(error);
    }
  }

  async #secretArn(): Promise<string> {
    const { secretArn } = this.#target;
    return typeof secretArn === 'string' ? secretArn : secretArn();
  }
}

/** The registry that this function's environment names. @throws when a variable is missing. */
export function registryFromEnvironment(environment: NodeJS.ProcessEnv = process.env): DataApi {
  return new DataApi({
    clusterArn: variable<RegistryEnvironment>('REGISTRY_CLUSTER_ARN', environment),
    secretArn: variable<RegistryEnvironment>('REGISTRY_SECRET_ARN', environment),
    database: variable<RegistryEnvironment>('REGISTRY_DATABASE', environment),
  });
}

function toSqlParameter(name: string, value: RegistryValue | undefined): SqlParameter {
  if (value === null || value === undefined) return { name, value: { isNull: true } };
  if (typeof value === 'string') return { name, value: { stringValue: value } };
  if (typeof value === 'boolean') return { name, value: { booleanValue: value } };
  if (typeof value === 'number') {
    return { name, value: Number.isSafeInteger(value) ? { longValue: value } : { doubleValue: value } };
  }
  if (value instanceof Date) return { name, value: { stringValue: value.toISOString() } };
  return { name, value: { stringValue: JSON.stringify(value) } };
}

function toRegistryError(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'DatabaseErrorException') return error;
  // The Data API reports the SQLSTATE only inside its message: "ERROR: …; SQLState: 23505".
  const sqlState = /SQLState: ([0-9A-Z]{5})/.exec(error.message)?.[1];
  return new RegistryError(error.message, sqlState, { cause: error });
}
