import { createHash } from 'node:crypto';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { RepeatableRequest } from '../registry/repeatable-request.ts';
import { IdempotencyKeyReused } from './errors.ts';
import { asJsonText } from './kept-body.ts';

/** How an operator identifies a request that may be sent again. Keys of different operators are different keys. */
export interface ControlIdempotencyUse {
  readonly key: string;
  readonly actor: string;
  readonly path: string;
  readonly body: unknown;
}

/** What is told again. */
export interface ControlAnswer {
  readonly status: number;
  readonly body: object;
  readonly resourceId: string;
}

interface KeyRow {
  readonly request_hash: string;
  readonly response_status: number;
  readonly response_body: string;
  readonly resource_id: string;
}

/** The answer that the operator's earlier POST with this key got within 24 hours. @throws {IdempotencyKeyReused} */
export async function findAnswer(
  registry: RegistryExecutor,
  use: ControlIdempotencyUse,
): Promise<ControlAnswer | undefined> {
  const [row] = await registry.query<KeyRow>(
    `SELECT request_hash, response_status, response_body #>> '{}' AS response_body, resource_id
     FROM control_idempotency_keys
     WHERE actor = :actor AND idempotency_key = :key AND created_at > now() - interval '24 hours'`,
    { actor: use.actor, key: use.key },
  );
  if (!row) return undefined;
  if (row.request_hash !== hashOf(use)) throw new IdempotencyKeyReused('the key belongs to another request');
  return { status: row.response_status, body: JSON.parse(row.response_body), resourceId: row.resource_id };
}

/**
 * Keeps the first answer, in the transaction of the change itself.
 * @returns the answer as every repetition gets it.
 * @throws {IdempotencyKeyReused} another request has committed with the key since `findAnswer` looked.
 */
export async function keepAnswer(
  registry: RegistryExecutor,
  use: ControlIdempotencyUse,
  { status, body, resourceId }: ControlAnswer,
): Promise<ControlAnswer> {
  const [row] = await registry.query<Pick<KeyRow, 'response_body'>>(
    `INSERT INTO control_idempotency_keys AS kept
       (idempotency_key, actor, request_hash, response_status, response_body, resource_id)
     VALUES (:key, :actor, :hash, :status::integer, :body::jsonb, :resourceId)
     ON CONFLICT (actor, idempotency_key) DO UPDATE
       SET request_hash = excluded.request_hash, response_status = excluded.response_status,
           response_body = excluded.response_body, resource_id = excluded.resource_id, created_at = now()
     WHERE kept.created_at <= now() - interval '24 hours'
     RETURNING response_body #>> '{}' AS response_body`,
    { key: use.key, actor: use.actor, hash: hashOf(use), status, body: asJsonText(body), resourceId },
  );
  if (!row) throw new IdempotencyKeyReused('the key belongs to another request');
  return { status, body: JSON.parse(row.response_body), resourceId };
}

/** One request of an operator whose key and effect commit together; it knows the answer afterwards. */
export class OncePerKey implements RepeatableRequest {
  readonly #use: ControlIdempotencyUse;
  readonly #answerOf: (transaction: RegistryExecutor, resourceId: string) => Promise<object>;
  #answer: ControlAnswer | undefined;
  #replayed = false;

  /** @param answerOf reads the body of the client's answer, which is 202. */
  constructor(
    use: ControlIdempotencyUse,
    answerOf: (transaction: RegistryExecutor, resourceId: string) => Promise<object>,
  ) {
    this.#use = use;
    this.#answerOf = answerOf;
  }

  /** Undefined until the request has committed. */
  get answer(): ControlAnswer | undefined {
    return this.#answer;
  }

  /** Whether an earlier request with the key made it. */
  get replayed(): boolean {
    return this.#replayed;
  }

  async find(transaction: RegistryExecutor): Promise<string | undefined> {
    this.#answer = await findAnswer(transaction, this.#use);
    this.#replayed = this.#answer !== undefined;
    return this.#answer?.resourceId;
  }

  async keep(transaction: RegistryExecutor, resourceId: string): Promise<void> {
    const body = await this.#answerOf(transaction, resourceId);
    this.#answer = await keepAnswer(transaction, this.#use, { status: 202, body, resourceId });
  }

  async forget(transaction: RegistryExecutor): Promise<void> {
    await transaction.query(
      'DELETE FROM control_idempotency_keys WHERE actor = :actor AND idempotency_key = :key',
      { actor: this.#use.actor, key: this.#use.key },
    );
  }
}

function hashOf({ path, body }: ControlIdempotencyUse): string {
  return createHash('sha256')
    .update(JSON.stringify([path, body]))
    .digest('hex');
}
