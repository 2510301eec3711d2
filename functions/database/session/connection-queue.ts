/**
 * The connections to one place, and the requests that wait for one.
 *
 * A request:    takes an idle connection, or waits ──▶ served by the first one that is released or opened
 *                                                 └──▶ refused (it waited too long, or opening failed)
 * A connection: opening ──▶ in use ⇄ idle ──▶ closed
 * The queue:    open ──end──▶ draining (waiting requests are still served) ──▶ ended
 *
 * A driver's pool opens a connection for every request that finds none idle. Right after a tenant's move these are all
 * its requests at once: a dozen handshakes share the processors, and the first request is served only after the last
 * handshake. Here only a few connections open at the same time, and the first one that is ready serves the whole queue.
 * Invariants: requests are served in the order of their arrival; while a request waits and the limit is not reached, a
 * connection is being opened.
 */
import pg from 'pg';

/** Limit of connections that are being opened at the same time. */
const OPENING_AT_ONCE = 2;

interface Waiting {
  readonly serve: (client: pg.PoolClient) => void;
  readonly refuse: (error: unknown) => void;
}

export class ConnectionQueue {
  readonly #pool: pg.Pool;
  readonly #limit: number;
  readonly #patienceMs: number;
  readonly #waiting: Waiting[] = [];
  #opening = 0;
  #drained: (() => void) | undefined;

  /**
   * @param configuration of the driver's pool; its `connectionTimeoutMillis` also limits the waiting.
   * @param onOpened called with each new connection before its first use.
   */
  constructor(
    configuration: pg.PoolConfig & { readonly max: number; connectionTimeoutMillis: number },
    onOpened: (client: pg.PoolClient) => void = () => {},
  ) {
    this.#pool = new pg.Pool(configuration);
    this.#limit = configuration.max;
    this.#patienceMs = configuration.connectionTimeoutMillis;
    // An idle connection that the server closed is replaced at the next use; without a listener it would crash the process.
    this.#pool.on('error', () => {});
    // The same for one in use: its statements fail by themselves, and the pool listens to idle ones only.
    this.#pool.on('connect', (client) => {
      client.on('error', () => {});
      onOpened(client);
    });
    // The event comes before the connection is idle, or closed because it is broken.
    this.#pool.on('release', () => queueMicrotask(() => this.#serve()));
  }

  /** True when there is a connection, or one is being opened. */
  get isOpen(): boolean {
    return this.#pool.totalCount > 0;
  }

  /** True when no request uses a connection or waits for one. */
  get isIdle(): boolean {
    return this.#pool.totalCount === this.#pool.idleCount && this.#waiting.length === 0;
  }

  /** A connection; release it with `release()`. Errors are PostgreSQL's or the network's own. */
  connect(): Promise<pg.PoolClient> {
    if (this.#waiting.length === 0 && this.#hasIdle()) return this.#pool.connect();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        serve: (client) => {
          clearTimeout(timer);
          resolve(client);
        },
        refuse: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        const index = this.#waiting.indexOf(waiting);
        // A connection is being handed to the request at this moment. If it were refused now, it would never release
        // that connection.
        if (index < 0) return;
        this.#waiting.splice(index, 1);
        this.#noteDrained();
        reject(new Error('timeout exceeded when trying to connect'));
      }, this.#patienceMs);
      this.#waiting.push(waiting);
      this.#open();
    });
  }

  /**
   * Accepts no more requests; resolves after the waiting ones are served and all connections are released and closed.
   */
  async end(): Promise<void> {
    if (this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    // The driver's pool hands over an idle connection in the next tick, and on its end forgets the pending handovers.
    await new Promise<void>((resolve) => setImmediate(resolve));
    await this.#pool.end();
  }

  /** Without those that are already assigned to requests. */
  #hasIdle(): boolean {
    return this.#pool.idleCount > this.#pool.waitingCount;
  }

  #serve(): void {
    while (this.#hasIdle()) {
      const first = this.#next();
      if (!first) return;
      this.#pool.connect().then(first.serve, first.refuse);
    }
    this.#open();
  }

  #open(): void {
    while (
      this.#waiting.length > this.#opening &&
      this.#opening < OPENING_AT_ONCE &&
      this.#pool.totalCount < this.#limit
    ) {
      this.#opening += 1;
      this.#pool.connect().then(
        (client) => {
          this.#opening -= 1;
          const first = this.#next();
          if (first) first.serve(client);
          else client.release();
          this.#open();
        },
        (error: unknown) => {
          this.#opening -= 1;
          // An error of opening refuses all requests when there is no connection; otherwise the open ones serve them.
          if (this.#pool.totalCount > this.#opening) this.#next()?.refuse(error);
          else this.#refuseAll(error);
          this.#open();
        },
      );
    }
  }

  #refuseAll(error: unknown): void {
    for (const waiting of this.#waiting.splice(0)) waiting.refuse(error);
    this.#noteDrained();
  }

  #next(): Waiting | undefined {
    const next = this.#waiting.shift();
    this.#noteDrained();
    return next;
  }

  #noteDrained(): void {
    if (this.#waiting.length === 0) this.#drained?.();
  }
}
