import { createHash } from 'node:crypto';
import type { DataApi } from '../database/registry/data-api.ts';
import { IdempotencyKeyReused } from './errors.ts';

export interface ControlIdempotencyUse {
  readonly key: string;
  readonly actor: string;
  readonly body: unknown;
}

interface KeyRow {
  readonly request_hash: string;
  readonly response_body: string | null;
}

/** The answer that an operator's earlier POST with this key got within 24 hours. @throws {IdempotencyKeyReused} */
export async function findAnswer(registry: DataApi, use: ControlIdempotencyUse): Promise<unknown> {
  const [row] = await registry.query<KeyRow>(
    `SELECT request_hash, response_body::text AS response_body FROM control_idempotency_keys
     WHERE actor = :actor AND idempotency_key = :key AND created_at > now() - interval '24 hours'`,
    { actor: use.actor, key: use.key },
  );
  if (!row) return undefined;
  if (row.request_hash !== hashOf(use.body))
    throw new IdempotencyKeyReused('the key belongs to another request');
  return row.response_body === null ? undefined : JSON.parse(row.response_body);
}

/** Keeps the first answer. A second writer of the same key changes nothing. */
export async function keepAnswer(
  registry: DataApi,
  use: ControlIdempotencyUse,
  answer: { status: number; body: object; resourceId: string },
): Promise<void> {
  await registry.query(
    `INSERT INTO control_idempotency_keys AS kept
       (idempotency_key, actor, request_hash, response_status, response_body, resource_id)
     VALUES (:key, :actor, :hash, :status::integer, :body::jsonb, :resourceId)
     ON CONFLICT (actor, idempotency_key) DO UPDATE
       SET request_hash = excluded.request_hash, response_status = excluded.response_status,
           response_body = excluded.response_body, resource_id = excluded.resource_id, created_at = now()
     WHERE kept.created_at <= now() - interval '24 hours'`,
    {
      key: use.key,
      actor: use.actor,
      hash: hashOf(use.body),
      status: answer.status,
      body: answer.body,
      resourceId: answer.resourceId,
    },
  );
}

function hashOf(body: unknown): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}
