import { sql } from 'kysely';
import type { RegistryExecutor } from './data-api.ts';
import { asText } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/**
 * Limit for a caller that dies inside a transaction; without it the Data API would hold its locks for three minutes.
 */
export async function boundTransaction(transaction: RegistryExecutor): Promise<void> {
  await transaction.query(
    `SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '15s', true)`,
  );
}

/**
 * Serializes transactions by a name until they end.
 * @param name unique among the registry's locks of this kind.
 */
export async function lockByName(transaction: RegistryExecutor, name: string): Promise<void> {
  const lock = sql<string>`pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${name}, 0))`;
  await sql`select ${asText(lock)} as locked`.execute(registrySql(transaction));
}
