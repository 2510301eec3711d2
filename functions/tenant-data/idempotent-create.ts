/**
 * POST with an `Idempotency-Key`: the first answer is stored with the tenant's data and repeated.
 *
 * States of a key: unknown ──inserted──▶ at work ──answer stored, COMMIT──▶ kept ──24 h──▶ unknown
 * Invariants: the key, the change and the kept answer commit together; a second request with the key waits on the
 * first one's row and then finds its answer, or finds nothing because the first was rolled back.
 */
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { asJsonText } from '../resources/documents.ts';
import { IdempotencyKeyReused } from '../resources/errors.ts';
import { isRequestHash, requestHash } from '../resources/request-hash.ts';
import type { SealedColumns } from './stored-row.ts';

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
  /** Without encrypted fields. */
  readonly body: unknown;
  readonly etag: string;
  /** Encrypted fields, by column. */
  readonly sealed?: SealedColumns;
}

/** How the hash of a body with encrypted fields is kept: the hash itself would let somebody try values. */
export interface KeptHash {
  keep(hash: string): Promise<string>;
  equals(kept: string, hash: string): Promise<boolean>;
}

interface KeyRow {
  readonly request_method: string;
  readonly request_path: string;
  readonly request_hash: string;
  readonly response_status: number;
  readonly response_headers: KeptHeaders;
  /** The body's JSON text. */
  readonly response_body: string;
}

interface KeptHeaders {
  readonly location: string;
  readonly etag: string;
  /** Base64, by column. */
  readonly sealed?: Readonly<Record<string, string | null>>;
}

/**
 * Runs `create` once for the key.
 * @param secret of a body with encrypted fields.
 * @throws {IdempotencyKeyReused} the key was used with another request; and what `create` throws.
 */
export async function createOnce(
  tenant: TenantAccess,
  use: IdempotencyUse,
  create: (transaction: TenantTransaction) => Promise<KeptAnswer>,
  secret?: KeptHash,
): Promise<{ answer: KeptAnswer; replayed: boolean }> {
  const hash = requestHash(use.body);
  // KMS is called before and after the transaction, never within it.
  const kept = secret ? await secret.keep(hash) : hash;
  const { answer, earlier } = await tenant.transaction('write', async (transaction) => {
    // Both statements are sent at once. The first deletes the key when its 24 hours are over.
    const [, inserted] = await Promise.all([
      transaction.query(
        tenantStatement(sql`DELETE FROM idempotency_keys
        WHERE idempotency_key = ${use.key} AND created_at < now() - interval '24 hours'`),
      ),
      transaction.query(
        tenantStatement(sql`INSERT INTO idempotency_keys
        (idempotency_key, request_method, request_path, request_hash)
        VALUES (${use.key}, ${use.method}, ${use.path}, ${kept})
        ON CONFLICT DO NOTHING RETURNING idempotency_key`),
      ),
    ]);
    if (inserted.length === 0) return { earlier: await earlierUse(transaction, use) };
    const answer = await create(transaction);
    await transaction.query(
      tenantStatement(sql`UPDATE idempotency_keys
        SET response_status = ${answer.status},
            response_headers = ${JSON.stringify(headersOf(answer))},
            response_body = ${asJsonText(answer.body)}
        WHERE idempotency_key = ${use.key}`),
    );
    return { answer };
  });
  if (answer) return { answer, replayed: false };
  const isSame =
    earlier?.request_method === use.method &&
    earlier.request_path === use.path &&
    (await isRequestHash(use.body, (known) =>
      secret ? secret.equals(earlier.request_hash, known) : earlier.request_hash === known,
    ));
  if (!isSame) throw new IdempotencyKeyReused('the key belongs to another request');
  return { answer: answerOf(earlier), replayed: true };
}

async function earlierUse(transaction: TenantTransaction, use: IdempotencyUse): Promise<KeyRow | undefined> {
  const [row] = await transaction.query(
    tenantStatement(sql<KeyRow>`SELECT request_method, request_path, request_hash, response_status, response_headers,
        response_body #>> '{}' AS response_body
      FROM idempotency_keys WHERE idempotency_key = ${use.key}`),
  );
  return row;
}

function headersOf({ location, etag, sealed = {} }: KeptAnswer): KeptHeaders {
  const columns = Object.entries(sealed).filter(([, bytes]) => bytes !== null);
  if (columns.length === 0) return { location, etag };
  return {
    location,
    etag,
    sealed: Object.fromEntries(columns.map(([name, bytes]) => [name, bytes?.toString('base64') ?? null])),
  };
}

function answerOf({ response_status: status, response_headers, response_body }: KeyRow): KeptAnswer {
  const { location, etag, sealed = {} } = response_headers;
  const columns = Object.entries(sealed).map(
    ([name, text]) => [name, text === null ? null : Buffer.from(text, 'base64')] as const,
  );
  return { status, location, etag, body: JSON.parse(response_body), sealed: Object.fromEntries(columns) };
}
