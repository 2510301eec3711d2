/**
 * POST with an `Idempotency-Key`: the first answer is kept with the tenant's data and told again.
 *
 * States of a key: unknown ──inserted──▶ at work ──answer stored, COMMIT──▶ kept ──24 h──▶ unknown
 * Invariants: the key, the change and the kept answer commit together; a second request with the key waits on the
 * first one's row and then finds its answer, or finds nothing because the first was rolled back.
 */
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { asJsonText } from '../resources/documents.ts';
import { IdempotencyKeyReused } from '../resources/errors.ts';

/** How a client identifies a request that it may send again. */
export interface IdempotencyUse {
  readonly key: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

export interface KeptAnswer {
  readonly status: number;
  readonly location: string;
  readonly body: unknown;
  readonly etag: string;
}

interface KeyRow {
  readonly request_method: string;
  readonly request_path: string;
  readonly request_hash: string;
  readonly response_status: number;
  readonly response_headers: { location: string; etag: string };
  /** The body's JSON text. */
  readonly response_body: string;
}

/**
 * Runs `create` once for the key.
 * @throws {IdempotencyKeyReused} where the key came with another request, and what `create` throws.
 */
export function createOnce(
  tenant: TenantAccess,
  use: IdempotencyUse,
  create: (transaction: TenantTransaction) => Promise<KeptAnswer>,
): Promise<{ answer: KeptAnswer; replayed: boolean }> {
  const hash = createHash('sha256').update(JSON.stringify(use.body)).digest('hex');
  return tenant.transaction('write', async (transaction) => {
    // Both travel at once: the first makes room where the key's 24 hours are over.
    const [, inserted] = await Promise.all([
      transaction.query(
        tenantStatement(sql`DELETE FROM idempotency_keys
        WHERE idempotency_key = ${use.key} AND created_at < now() - interval '24 hours'`),
      ),
      transaction.query(
        tenantStatement(sql`INSERT INTO idempotency_keys
        (idempotency_key, request_method, request_path, request_hash)
        VALUES (${use.key}, ${use.method}, ${use.path}, ${hash})
        ON CONFLICT DO NOTHING RETURNING idempotency_key`),
      ),
    ]);
    if (inserted.length === 0) return { answer: await replay(transaction, use, hash), replayed: true };
    const answer = await create(transaction);
    await transaction.query(
      tenantStatement(sql`UPDATE idempotency_keys
        SET response_status = ${answer.status},
            response_headers = ${JSON.stringify({ location: answer.location, etag: answer.etag })},
            response_body = ${asJsonText(answer.body)}
        WHERE idempotency_key = ${use.key}`),
    );
    return { answer, replayed: false };
  });
}

async function replay(
  transaction: TenantTransaction,
  use: IdempotencyUse,
  hash: string,
): Promise<KeptAnswer> {
  const [row] = await transaction.query(
    tenantStatement(sql<KeyRow>`SELECT request_method, request_path, request_hash, response_status, response_headers,
        response_body #>> '{}' AS response_body
      FROM idempotency_keys WHERE idempotency_key = ${use.key}`),
  );
  if (row?.request_method !== use.method || row.request_path !== use.path || row.request_hash !== hash) {
    throw new IdempotencyKeyReused('the key belongs to another request');
  }
  const { location, etag } = row.response_headers;
  return { status: row.response_status, location, etag, body: JSON.parse(row.response_body) };
}
