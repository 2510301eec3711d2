/**
 * Open transactions of the Data API.
 *
 * States: idle → busy (one statement at a time) → idle → ended. A transaction that is idle for three minutes, or
 * whose connection breaks, is rolled back and ends. Invariant: a connection is owned by exactly one transaction
 * until it ends.
 */
import { randomBytes } from 'node:crypto';
import type { PoolClient } from 'pg';
import { AwsError } from '../../errors.ts';
import type { ConnectionPools, PoolKey } from './connection-pools.ts';

const IDLE_LIMIT_MS = 3 * 60 * 1_000;

interface Transaction {
  id: string;
  /** Cluster and secret it was begun with; every later call must name the same. */
  owner: string;
  key: PoolKey;
  client: PoolClient;
  busy: boolean;
  expiry: NodeJS.Timeout;
  /** Ends it when its connection breaks; taken off before the connection serves somebody else. */
  onError: () => void;
}

export class Transactions {
  readonly #pools: ConnectionPools;
  readonly #idleLimitMs: number;
  readonly #open = new Map<string, Transaction>();

  constructor(pools: ConnectionPools, idleLimitMs = IDLE_LIMIT_MS) {
    this.#pools = pools;
    this.#idleLimitMs = idleLimitMs;
  }

  async begin(key: PoolKey, owner: string): Promise<string> {
    const client = await this.#pools.connect(key);
    try {
      await client.query('BEGIN');
    } catch (cause) {
      this.#pools.release(client, true);
      throw cause;
    }
    const id = randomBytes(96).toString('base64url');
    const onError = () => this.#drop(transaction, true);
    const transaction: Transaction = {
      id,
      owner,
      key,
      client,
      busy: false,
      expiry: this.#expiryOf(id),
      onError,
    };
    this.#open.set(id, transaction);
    client.once('error', onError);
    return id;
  }

  /** Runs a statement in it. @throws {AwsError} when it is unknown, or busy with another call */
  async use<T>(
    id: string,
    owner: string,
    work: (client: PoolClient, key: PoolKey) => Promise<T>,
  ): Promise<T> {
    const transaction = this.#get(id, owner);
    if (transaction.busy) {
      throw new AwsError('DatabaseErrorException', 'Transaction is still running a query');
    }
    transaction.busy = true;
    clearTimeout(transaction.expiry);
    try {
      return await work(transaction.client, transaction.key);
    } finally {
      transaction.busy = false;
      if (this.#open.has(id)) transaction.expiry = this.#expiryOf(id);
    }
  }

  async end(id: string, owner: string, statement: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await this.use(id, owner, async (client) => {
      const transaction = this.#open.get(id)!;
      try {
        const result = await client.query(statement);
        this.#drop(transaction, false);
        if (statement === 'COMMIT' && result.command === 'ROLLBACK') {
          throw new AwsError(
            'DatabaseErrorException',
            'ERROR: current transaction is aborted, commands ignored until end of transaction block; SQLState: 25P02',
          );
        }
      } catch (cause) {
        if (!(cause instanceof AwsError)) this.#drop(transaction, true);
        throw cause;
      }
    });
  }

  /** Abandons every open transaction; their connections close and the server rolls back. */
  close(): void {
    for (const transaction of this.#open.values()) this.#drop(transaction, true);
  }

  #get(id: string, owner: string): Transaction {
    const transaction = this.#open.get(id);
    if (!transaction || transaction.owner !== owner) {
      throw new AwsError('TransactionNotFoundException', `Transaction ${id} is not found`, { status: 404 });
    }
    return transaction;
  }

  #expiryOf(id: string): NodeJS.Timeout {
    return setTimeout(() => {
      const transaction = this.#open.get(id);
      if (transaction) this.#drop(transaction, true);
    }, this.#idleLimitMs).unref();
  }

  #drop(transaction: Transaction, broken: boolean): void {
    clearTimeout(transaction.expiry);
    transaction.client.off('error', transaction.onError);
    if (this.#open.delete(transaction.id)) this.#pools.release(transaction.client, broken);
  }
}
