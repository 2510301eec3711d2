/**
 * Connection pools of one container: one per (endpoint, database, role).
 *
 * States of a pool:  open ──evict (idle, least recently used)──▶ ended
 *                    open ──discard (wrong credentials or endpoint)──▶ ended, once drained
 *
 * Invariants: a pool with a connection in use is never evicted, so the cap can be exceeded while more than `cap`
 * tenants are being served at the same moment; a discarded pool accepts no new work.
 */
import type pg from 'pg';
import { ConnectionQueue } from './connection-queue.ts';
import type { CredentialSource } from './credentials.ts';
import { oldestTls } from './tls-version.ts';
import { valueParsers } from './value-parsers.ts';

/** Address of one tenant's data, and the login role. */
export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly secretArn: string;
  /** Limit of this container's connections to it. */
  readonly poolSize: number;
}

export interface PoolOptions {
  /** Pools kept open in this container. */
  readonly cap: number;
  /** Send statements without waiting for the answer of the previous one. */
  readonly pipeline: boolean;
  /** Called with the text of a warning that must raise an alarm (TN005). */
  readonly onAlert?: (message: string) => void;
}

/** The SQLSTATE of warnings by which `tenancy` reports a session that it has ended. */
const ALERT = 'TN005';

export class DatabasePools {
  readonly #credentials: CredentialSource;
  readonly #options: PoolOptions;
  /** Insertion order is recency order: the first entry is the least recently used. */
  readonly #open = new Map<string, ConnectionQueue>();

  constructor(credentials: CredentialSource, options: PoolOptions) {
    this.#credentials = credentials;
    this.#options = options;
  }

  get pipeline(): boolean {
    return this.#options.pipeline;
  }

  /** A connection to the address; release it with `release()`. Errors are PostgreSQL's or the network's own. */
  async connect(address: DatabaseAddress): Promise<pg.PoolClient> {
    const key = keyOf(address);
    const pool = this.#open.get(key) ?? (await this.#create(key, address));
    // Most recently used goes last.
    this.#open.delete(key);
    this.#open.set(key, pool);
    this.#evict(key);
    return pool.connect();
  }

  /** Opens one connection to a place that requests will soon use, unless there is one. Never rejects. */
  async prepare(address: DatabaseAddress): Promise<void> {
    const key = keyOf(address);
    try {
      const pool = this.#open.get(key) ?? (await this.#create(key, address));
      if (pool.isOpen) return;
      (await pool.connect()).release();
    } catch {
      // Ignore the error: the first request there, or the move, reports it.
    }
  }

  /** Discards the pool and the credentials of an address that is wrong or outdated. */
  discard(address: DatabaseAddress): void {
    const key = keyOf(address);
    this.#credentials.forget(address.secretArn);
    const pool = this.#open.get(key);
    if (!pool) return;
    this.#open.delete(key);
    void pool.end();
  }

  async end(): Promise<void> {
    const pools = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(pools.map((pool) => pool.end()));
  }

  async #create(key: string, address: DatabaseAddress): Promise<ConnectionQueue> {
    const { username, password } = await this.#credentials.get(address.secretArn);
    // Another request may have opened it while the secret was being read.
    const existing = this.#open.get(key);
    if (existing) return existing;
    const configuration = {
      host: address.host,
      port: address.port,
      database: address.database,
      user: username,
      password,
      max: address.poolSize,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      allowExitOnIdle: true,
      types: valueParsers,
      ssl: { rejectUnauthorized: true, minVersion: oldestTls() },
      pipeline: this.#options.pipeline,
    };
    const pool = new ConnectionQueue(configuration, (client) => {
      client.on('notice', ({ code, message }) => {
        if (code === ALERT) this.#options.onAlert?.(message ?? '');
      });
    });
    this.#open.set(key, pool);
    return pool;
  }

  #evict(keep: string): void {
    if (this.#open.size <= this.#options.cap) return;
    for (const [key, pool] of this.#open) {
      if (key === keep || !pool.isIdle) continue;
      this.#open.delete(key);
      void pool.end();
      if (this.#open.size <= this.#options.cap) return;
    }
  }
}

function keyOf({ host, port, database, secretArn }: DatabaseAddress): string {
  // A secret belongs to one role, and its rotation keeps the ARN, so the ARN identifies the role.
  return `${host}:${port}/${database}/${secretArn}`;
}
