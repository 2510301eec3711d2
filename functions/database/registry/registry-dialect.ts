import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult } from 'kysely';
import { migrationDialect } from '../ddl/kysely-dialect.ts';
import type { RegistryExecutor, RegistryValue } from './data-api.ts';

/** Lets Kysely run statements in a transaction of the Data API that somebody else began and will end. */
export function registryDialect(transaction: RegistryExecutor): Dialect {
  const connection: DatabaseConnection = {
    async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
      // The compiler numbers its parameters, the Data API wants names.
      const named = sql.replaceAll(/\$(\d+)/g, ':p$1');
      const values = parameters.map((value, index) => [`p${index + 1}`, value as RegistryValue]);
      const rows = await transaction.query(named, Object.fromEntries(values));
      return { rows: rows as Row[] };
    },
    // biome-ignore lint/correctness/useYield: the Data API has no cursors.
    async *streamQuery() {
      throw new Error('the Data API cannot stream');
    },
  };
  const driver: Driver = {
    init: async () => {},
    acquireConnection: async () => connection,
    beginTransaction: async () => {},
    commitTransaction: async () => {},
    rollbackTransaction: async () => {},
    releaseConnection: async () => {},
    destroy: async () => {},
  };
  return migrationDialect(() => driver);
}
