import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';

/**
 * Takes the one lock of the tenant's hierarchy in that table until the transaction ends. Two changes that each look
 * above their own row, in its own snapshot, would close a circle together.
 *
 * The lock is a row of the tenant's own and not an advisory lock: those of one database can be taken by every role in
 * it. It is kept among the idempotency keys, which move with the tenant, under a key that no request can have: the
 * value of a header begins with no space.
 */
export async function lockHierarchy(transaction: TenantTransaction, table: string): Promise<void> {
  const key = ` hierarchy of ${table}`;
  for (;;) {
    const [, locked] = await Promise.all([
      transaction.query(
        tenantStatement(sql`INSERT INTO idempotency_keys (idempotency_key, request_method, request_path, request_hash)
          VALUES (${key}, '', '', '') ON CONFLICT DO NOTHING`),
      ),
      transaction.query(
        tenantStatement(
          sql`SELECT 1 AS locked FROM idempotency_keys WHERE idempotency_key = ${key} FOR UPDATE`,
        ),
      ),
    ]);
    // None where old keys are being removed.
    if (locked.length > 0) return;
  }
}
