import { sql } from 'kysely';
import { asJsonText } from '../resources/documents.ts';
import { IdempotencyKeyReused } from '../resources/errors.ts';
import { isRequestHash, requestHash } from '../resources/request-hash.ts';
import type { RegistryExecutor } from './data-api.ts';
import type { JsonText, TimeWithoutZone } from './registry-column.ts';
import { now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** The identity of an operator's request that may be repeated. Keys of different operators are different keys. */
export interface ControlIdempotencyUse {
  readonly key: string;
  readonly actor: string;
  readonly path: string;
  readonly body: unknown;
}

/** The first answer, which repetitions get. */
export interface ControlAnswer {
  readonly status: number;
  readonly body: object;
  readonly resourceId: string;
}

/** How long a key is kept. */
const dayAgo = sql<TimeWithoutZone>`now() - interval '24 hours'`;
/** The text of a body that `asJsonText` stored. */
const keptText = sql<string>`response_body #>> '{}'`.as('response_body');

/** The answer of the operator's earlier POST with this key, within 24 hours. @throws {IdempotencyKeyReused} */
export async function findAnswer(
  registry: RegistryExecutor,
  use: ControlIdempotencyUse,
): Promise<ControlAnswer | undefined> {
  const row = await registrySql(registry)
    .selectFrom('control_idempotency_keys')
    .select(['request_hash', 'response_status', 'resource_id', keptText])
    .where('actor', '=', use.actor)
    .where('idempotency_key', '=', use.key)
    .where('created_at', '>', dayAgo)
    .executeTakeFirst();
  if (!row) return undefined;
  if (!(await isRequestHash(hashedOf(use), (hash) => hash === row.request_hash)))
    throw new IdempotencyKeyReused('the key belongs to another request');
  const { response_status: status, resource_id: resourceId } = row;
  if (status === null || resourceId === null)
    throw new Error('an idempotency key was kept without its answer');
  return { status, body: JSON.parse(row.response_body), resourceId };
}

/**
 * Stores the first answer, in the transaction of the change itself.
 * @returns the answer as every repetition gets it.
 * @throws {IdempotencyKeyReused} another request has committed with the key since `findAnswer` read.
 */
export async function keepAnswer(
  registry: RegistryExecutor,
  use: ControlIdempotencyUse,
  { status, body, resourceId }: ControlAnswer,
): Promise<ControlAnswer> {
  const kept = {
    request_hash: requestHash(hashedOf(use)),
    response_status: status,
    response_body: asJsonText(body) as JsonText<never>,
    resource_id: resourceId,
  };
  const row = await registrySql(registry)
    .insertInto('control_idempotency_keys')
    .values({ idempotency_key: use.key, actor: use.actor, ...kept })
    .onConflict((other) =>
      other
        .columns(['actor', 'idempotency_key'])
        .doUpdateSet({ ...kept, created_at: now })
        .where('control_idempotency_keys.created_at', '<=', dayAgo),
    )
    .returning(sql<string>`control_idempotency_keys.response_body #>> '{}'`.as('response_body'))
    .executeTakeFirst();
  if (!row) throw new IdempotencyKeyReused('the key belongs to another request');
  return { status, body: JSON.parse(row.response_body), resourceId };
}

/** One request of an operator whose key and effect commit together; it has the answer afterwards. */
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

  /** undefined until the request has committed. */
  get answer(): ControlAnswer | undefined {
    return this.#answer;
  }

  /** True when an earlier request with the key made it. */
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
    await registrySql(transaction)
      .deleteFrom('control_idempotency_keys')
      .where('actor', '=', this.#use.actor)
      .where('idempotency_key', '=', this.#use.key)
      .execute();
  }
}

const hashedOf = ({ path, body }: ControlIdempotencyUse) => [path, body];

/**
 * A request that a client may repeat under one key. The key and the effect of the request commit in one transaction, so
 * neither exists without the other.
 */
export interface RepeatableRequest {
  /**
   * Call under the lock that serializes the request with its repetitions.
   * @returns the id of the object that an earlier request with the key made. @throws when the key belongs to another
   * request.
   */
  find(transaction: RegistryExecutor): Promise<string | undefined>;
  /** Stores the answer. Call last. @throws when the key belongs to another request. */
  keep(transaction: RegistryExecutor, resourceId: string): Promise<void>;
  /** Call when the new object has failed at once: the next request with the key starts again. */
  forget(transaction: RegistryExecutor): Promise<void>;
}
