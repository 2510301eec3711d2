import { setTimeout as delay } from 'node:timers/promises';
import type { DatabaseError, PoolClient, QueryArrayConfig, QueryArrayResult } from 'pg';
import type { PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import type { SecretPermissions } from '../secrets-manager/secret-permissions.ts';
import { type SecretStore, versionIdOf } from '../secrets-manager/secret-store.ts';
import { columnMetadata } from './column-metadata.ts';
import { type ConnectionPools, credentialsOf, type PoolKey } from './connection-pools.ts';
import { type BoundStatement, bindParameters } from './parameter-binding.ts';
import { formattedRecords, type TextRow, typedRecords } from './result-records.ts';
import type { Transactions } from './transactions.ts';

/** A call ends after this long, unless it asked to continue. */
const STATEMENT_TIMEOUT_MS = 45_000;

export interface RdsDataParts {
  context: PlatformContext;
  secrets: SecretStore;
  secretPermissions: SecretPermissions;
  pools: ConnectionPools;
  transactions: Transactions;
  /** Whether the cluster was created with the HTTP endpoint. */
  httpEndpointEnabled(clusterArn: string): boolean;
}

/** The RDS Data API, spoken to the cluster's real PostgreSQL as the user of the caller's secret. */
export function rdsData(parts: RdsDataParts): ServiceModule {
  return {
    service: wire(parts),
    resources: [],
    async stop() {
      parts.transactions.close();
      // A statement that runs long must not hold up the end; its server is stopped next.
      await Promise.race([parts.pools.close(), delay(1_000, undefined, { ref: false })]);
    },
  };
}

function wire(parts: RdsDataParts): AwsService {
  const { transactions, pools } = parts;

  function operation(name: string, run: (input: Input, call: Call) => Promise<unknown>): Operation {
    return {
      permissions(input, call) {
        const secretArn = input.required('secretArn');
        const own: Permission = { action: `rds-data:${name}`, resource: input.required('resourceArn') };
        return [own, ...parts.secretPermissions.on('GetSecretValue', secretArn, call, ['Decrypt'])];
      },
      run: (input, call) =>
        run(input, call).catch((cause) => {
          throw databaseError(cause);
        }),
    };
  }

  /** Within the transaction the input names, or on a connection of its own. */
  async function onConnection<T>(
    input: Input,
    call: Call,
    work: (client: PoolClient, key: PoolKey) => Promise<T>,
  ): Promise<T> {
    const transactionId = input.text('transactionId');
    if (transactionId !== undefined) return transactions.use(transactionId, ownerOf(input), work);
    const key = poolKey(parts, input, call);
    const client = await pools.connect(key);
    let broken = false;
    const onError = (): void => {
      broken = true;
    };
    client.on('error', onError);
    try {
      return await work(client, key);
    } finally {
      client.off('error', onError);
      pools.release(client, broken);
    }
  }

  async function execute(
    client: PoolClient,
    key: PoolKey,
    input: Input,
    parameters: Input[],
  ): Promise<QueryArrayResult<TextRow>> {
    const bound = bindParameters(input.required('sql'), parameters);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      pools.cancel(key, client).catch(() => {});
    }, STATEMENT_TIMEOUT_MS);
    if (input.boolean('continueAfterTimeout')) clearTimeout(timer);
    try {
      return await client.query(asText(bound));
    } catch (cause) {
      if (timedOut) {
        throw new AwsError('StatementTimeoutException', 'Request timed out', {
          detail: { dbConnectionId: (client as unknown as { processID: number }).processID },
        });
      }
      throw databaseError(cause, bound.originalPosition);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    signingNames: ['rds-data'],
    prefix: 'rds-data',
    protocol: {
      kind: 'rest-json',
      routes: [
        { method: 'POST', path: /^\/Execute$/, operation: 'ExecuteStatement' },
        { method: 'POST', path: /^\/BatchExecute$/, operation: 'BatchExecuteStatement' },
        { method: 'POST', path: /^\/BeginTransaction$/, operation: 'BeginTransaction' },
        { method: 'POST', path: /^\/CommitTransaction$/, operation: 'CommitTransaction' },
        { method: 'POST', path: /^\/RollbackTransaction$/, operation: 'RollbackTransaction' },
      ],
    },
    accessDenied: { code: 'AccessDeniedException', status: 403 },
    operations: {
      ExecuteStatement: operation('ExecuteStatement', (input, call) =>
        onConnection(input, call, async (client, key) => {
          const result = await execute(client, key, input, input.inputs('parameters'));
          const updated = result.fields.length > 0 ? 0 : (result.rowCount ?? 0);
          const metadata = input.boolean('includeResultMetadata')
            ? { columnMetadata: await columnMetadata(client, result.fields) }
            : {};
          if (input.text('formatRecordsAs') === 'JSON') {
            if (result.fields.length === 0) return { numberOfRecordsUpdated: updated };
            return {
              numberOfRecordsUpdated: updated,
              formattedRecords: formattedRecords(result.fields, result.rows),
              ...metadata,
            };
          }
          const records =
            result.fields.length > 0 ? { records: typedRecords(result.fields, result.rows) } : {};
          return { numberOfRecordsUpdated: updated, generatedFields: [], ...records, ...metadata };
        }),
      ),
      BatchExecuteStatement: operation('BatchExecuteStatement', (input, call) =>
        onConnection(input, call, async (client, key) => {
          const sets = input.list('parameterSets').map((set) => input.wrap('parameters', set));
          const own = !input.has('transactionId');
          if (own) await client.query('BEGIN');
          try {
            for (const set of sets.length > 0 ? sets : [[]]) await execute(client, key, input, set);
            if (own) await client.query('COMMIT');
          } catch (cause) {
            if (own) await client.query('ROLLBACK').catch(() => {});
            throw cause;
          }
          return { updateResults: sets.map(() => ({ generatedFields: [] })) };
        }),
      ),
      BeginTransaction: operation('BeginTransaction', async (input, call) => ({
        transactionId: await transactions.begin(poolKey(parts, input, call), ownerOf(input)),
      })),
      CommitTransaction: operation('CommitTransaction', async (input) => {
        await transactions.end(input.required('transactionId'), ownerOf(input), 'COMMIT');
        return { transactionStatus: 'Transaction Committed' };
      }),
      RollbackTransaction: operation('RollbackTransaction', async (input) => {
        await transactions.end(input.required('transactionId'), ownerOf(input), 'ROLLBACK');
        return { transactionStatus: 'Rollback Complete' };
      }),
    },
  };
}

function poolKey(parts: RdsDataParts, input: Input, call: Call): PoolKey {
  const arn = input.required('resourceArn');
  const here = arn.split(':')[3] === call.region;
  const cluster = here ? parts.context.clusters.byArn(arn) : undefined;
  if (!cluster) throw new AwsError('NotFoundException', `DBCluster ${arn} was not found`, { status: 404 });
  if (!parts.httpEndpointEnabled(arn)) {
    throw new AwsError(
      'HttpEndpointNotEnabledException',
      "The HTTP endpoint for using RDS Data API isn't enabled for the DB cluster.",
    );
  }
  if (input.has('schema')) {
    throw new AwsError('ValidationException', 'Schema parameter is not supported for Aurora PostgreSQL');
  }
  const secret = parts.secrets.get(input.required('secretArn'), call.region);
  if (secret.deletedDate !== undefined) {
    throw new AwsError('InvalidSecretException', 'The secret is marked for deletion');
  }
  const secretVersion = versionIdOf(secret, 'AWSCURRENT') ?? '';
  const { dbname, ...credentials } = credentialsOf(secret.versions[secretVersion]?.secretString);
  return {
    cluster,
    credentials,
    secretVersion: `${secret.arn} ${secretVersion}`,
    database: input.text('database') ?? dbname ?? 'postgres',
  };
}

/** A transaction belongs to the cluster and the secret it was begun with. */
function ownerOf(input: Input): string {
  return `${input.required('resourceArn')} ${input.required('secretArn')}`;
}

/** Always the extended protocol, and values as PostgreSQL writes them: the Data API has its own conversions. */
function asText(bound: BoundStatement): QueryArrayConfig & { queryMode: 'extended' } {
  return {
    text: bound.text,
    values: bound.values,
    rowMode: 'array',
    queryMode: 'extended',
    types: { getTypeParser: () => (value: string) => value },
  };
}

/** Class 28 and 3D happen while logging in; the statement never ran. */
const LOGIN_REFUSED = /^28/;
/** Connection exceptions, and a server that is shutting down or starting. */
const UNAVAILABLE = /^(08|57P0)/;

/**
 * A database error in the Data API's words: `ERROR: …; Position: 8; SQLState: 42703`. Like the Data API it tells
 * neither detail nor hint.
 */
export function databaseError(cause: unknown, position: (at: number) => number = (at) => at): AwsError {
  if (cause instanceof AwsError) return cause;
  const error = cause as Partial<DatabaseError> & { code?: string };
  if (error.severity === undefined || error.code === undefined) {
    return new AwsError('DatabaseUnavailableException', 'The database is not available', { status: 504 });
  }
  const place = error.position === undefined ? '' : `; Position: ${position(Number(error.position))}`;
  const message = `${error.severity}: ${error.message}${place}; SQLState: ${error.code}`;
  if (UNAVAILABLE.test(error.code))
    return new AwsError('DatabaseUnavailableException', message, { status: 504 });
  return new AwsError(
    LOGIN_REFUSED.test(error.code) ? 'BadRequestException' : 'DatabaseErrorException',
    message,
  );
}
