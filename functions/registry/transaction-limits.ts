import { sql } from 'kysely';
import type { RegistryExecutor } from './data-api.ts';
import { asText } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** A caller that dies inside a transaction must not hold its locks for the Data API's three minutes. */
export async function boundTransaction(transaction: RegistryExecutor): Promise<void> {
  await transaction.query(
    `SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '15s', true)`,
  );
}

/**
 * Serializes transactions by a name until they end.
 * @param name unique among what the registry locks so.
 */
export async function lockByName(transaction: RegistryExecutor, name: string): Promise<void> {
  const lock = sql<string>`pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${name}, 0))`;
  await sql`select ${asText(lock)} as locked`.execute(registrySql(transaction));
}
