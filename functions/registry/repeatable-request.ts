import type { RegistryExecutor } from './data-api.ts';

/**
 * A request that a client may send again under one key. The key and what the request makes commit in one transaction,
 * so there is never one without the other.
 */
export interface RepeatableRequest {
  /**
   * Call under the lock that serializes the request with its repetitions.
   * @returns the id of what an earlier request with the key made. @throws when the key belongs to another request.
   */
  find(transaction: RegistryExecutor): Promise<string | undefined>;
  /** Keeps the answer. Call last. @throws when the key belongs to another request. */
  keep(transaction: RegistryExecutor, resourceId: string): Promise<void>;
  /** What was made has failed at once: the next request with the key starts anew. */
  forget(transaction: RegistryExecutor): Promise<void>;
}
