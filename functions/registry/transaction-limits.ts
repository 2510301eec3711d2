import { sql } from 'kysely';
import type { RegistryExecutor } from './data-api.ts';
import { asText } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/**
 * Limits a transaction. A caller that dies inside it would hold its locks for three minutes, which is the Data API's limit.
 * A statement that waits for a lock must end before the client of the Data API gives up (ten seconds, `aws/clients.ts`):
 * the client would send the statement again, which the Data API refuses while the first one still waits. So PostgreSQL
 * refuses it first, as a passing error (55P03): nothing was changed, and the caller may try again.
 */
export async function boundTransaction(transaction: RegistryExecutor): Promise<void> {
  await transaction.query(
    `SELECT set_config('idle_in_transaction_session_timeout', '10s', true), set_config('lock_timeout', '8s', true)`,
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
