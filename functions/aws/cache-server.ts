/**
 * One Valkey server, on which scripts run.
 *
 * States of the circuit:
 *   closed ──FAILURES in a row, or no connection──▶ open (nothing is sent) ──after a pause──▶ trying (one call is sent)
 *   trying ──it is answered──▶ closed    trying ──it fails──▶ open, with twice the pause, up to LONGEST_PAUSE_MS
 * Invariants: a call ends within its limit, whatever the server does, and never throws; a script that was not answered may
 * still run later; a lost connection is never resumed, so what was sent on it is not sent again.
 *
 * Every script has one key. So a plain connection suffices also for ElastiCache Serverless, which is a cluster whose
 * slots are all at one endpoint.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { Redis } from 'iovalkey';
import { logger } from './logger.ts';

/** Where a server is, and the login of its user. */
export interface CacheAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
}

/** A script of the server's Lua. */
export interface CacheScript {
  readonly lua: string;
  /** SHA-1, by which the server knows the script once it has it. */
  readonly sha: string;
}

export function cacheScript(lua: string): CacheScript {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** A script with its one key. */
export interface CacheCall {
  readonly script: CacheScript;
  readonly key: string;
  readonly parameters: readonly (string | number)[];
}

export interface CacheServerOptions {
  /** Looked up at each connection, so that a new password is found. */
  readonly address: () => Promise<CacheAddress>;
  /** How long the container is without the server after the circuit has opened, at first, in milliseconds. */
  readonly pauseMs?: number;
  /** How long a script may take when its caller sets no limit, in milliseconds. */
  readonly limitMs?: number;
}

const FAILURES = 3;
const LONGEST_PAUSE_MS = 10_000;
/** A round trip within a region takes less than one millisecond, so a later answer is not worth waiting for. */
const LIMIT_MS = 100;
const CONNECT_LIMIT_MS = 2_000;
/** Two secrets are read. */
const ADDRESS_LIMIT_MS = 10_000;

/** The answer of a script. */
export interface CacheAnswer {
  readonly value: unknown;
}

export class CacheServer {
  readonly #options: Required<CacheServerOptions>;
  #connection: Redis | undefined;
  #connecting: Promise<Redis> | undefined;
  #connectingSince = 0;
  /** In a row. The circuit is closed while there are fewer than FAILURES. */
  #failures = 0;
  #pauseMs: number;
  /** On `performance.now()`'s clock. */
  #openUntil = 0;
  #isTrying = false;
  #hasEnded = false;

  constructor({ address, pauseMs = 500, limitMs = LIMIT_MS }: CacheServerOptions) {
    this.#options = { address, pauseMs, limitMs };
    this.#pauseMs = pauseMs;
  }

  /**
   * Runs the script with one key.
   * @param limitMs how long the caller waits.
   * @returns undefined without an answer: the script may have run or not.
   */
  async run(
    script: CacheScript,
    key: string,
    parameters: readonly (string | number)[],
    limitMs?: number,
  ): Promise<CacheAnswer | undefined> {
    const values = await this.runTogether([{ script, key, parameters }], limitMs);
    return values && { value: values[0] };
  }

  /**
   * Runs scripts in one round trip, in their order. What others run may come in between.
   * @param limitMs how long the caller waits.
   * @returns the value of each; undefined when one is missing: each script may have run or not.
   */
  async runTogether(
    calls: readonly CacheCall[],
    limitMs = this.#options.limitMs,
  ): Promise<readonly unknown[] | undefined> {
    if (calls.length === 0) return [];
    const isTrial = this.#failures >= FAILURES;
    if (this.#hasEnded || (isTrial && !this.#beginTrial())) return undefined;
    const deadline = performance.now() + limitMs;
    const connection = this.#connection ?? (await this.#connectWithin(limitMs));
    if (!connection) return undefined;
    try {
      const values = await within(deadline - performance.now(), send(connection, calls));
      this.#succeeded();
      return values;
    } catch (error) {
      this.#failed(error, isTrial);
      return undefined;
    }
  }

  /** Closes the connection. Later calls are not answered. */
  end(): void {
    this.#hasEnded = true;
    this.#disconnect();
  }

  #beginTrial(): boolean {
    if (this.#isTrying || performance.now() < this.#openUntil) return false;
    this.#isTrying = true;
    return true;
  }

  /**
   * A connection that takes longer is made nevertheless, for later calls, which do not wait for it again. When it fails,
   * that opens the circuit.
   */
  async #connectWithin(limitMs: number): Promise<Redis | undefined> {
    const connecting = this.#connect();
    const left = limitMs - (performance.now() - this.#connectingSince);
    if (left <= 0) return undefined;
    return within(left, connecting).catch(() => undefined);
  }

  #connect(): Promise<Redis> {
    if (!this.#connecting) this.#connectingSince = performance.now();
    this.#connecting ??= this.#open().then(
      (connection) => {
        this.#connecting = undefined;
        this.#connection = connection;
        // The call that began the trial may have given up: the next one is the trial then.
        this.#isTrying = false;
        connection.once('end', () => {
          if (this.#connection === connection) this.#connection = undefined;
        });
        if (this.#hasEnded) this.#disconnect();
        return connection;
      },
      (error: unknown) => {
        this.#connecting = undefined;
        const isTrial = this.#failures >= FAILURES;
        this.#failures = Math.max(this.#failures, FAILURES - 1);
        this.#failed(error, isTrial);
        throw error;
      },
    );
    // A caller may have stopped waiting.
    this.#connecting.catch(() => {});
    return this.#connecting;
  }

  async #open(): Promise<Redis> {
    // A bundle's chunk of a CommonJS module has no other export than the default one.
    const [{ default: module }, { host, port, username, password }] = await within(
      ADDRESS_LIMIT_MS,
      Promise.all([import('iovalkey'), this.#options.address()]),
    );
    const connection = new module.Redis({
      host,
      port,
      username,
      password,
      // ElastiCache offers TLS 1.3, which is then used. An address has no name to send.
      tls: { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(isIP(host) ? {} : { servername: host }) },
      lazyConnect: true,
      connectTimeout: CONNECT_LIMIT_MS,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      // A lost connection is replaced at the next call, with credentials that are looked up again.
      retryStrategy: () => null,
      familyFallback: { enabled: false },
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
    });
    // Each call has its own error.
    connection.on('error', () => {});
    try {
      await within(CONNECT_LIMIT_MS, connection.connect());
      return connection;
    } catch (error) {
      connection.disconnect();
      throw error;
    }
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#isTrying = false;
    this.#pauseMs = this.#options.pauseMs;
  }

  #failed(error: unknown, isTrial: boolean): void {
    // Calls that were under way when the circuit opened do not keep it open for longer.
    if (this.#failures >= FAILURES && !isTrial) return;
    this.#failures += 1;
    if (this.#failures < FAILURES) return;
    if (isTrial) this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    else logger.warn('the cache is bypassed', { reason: (error as Error).message });
    this.#isTrying = false;
    this.#openUntil = performance.now() + this.#pauseMs;
    // It may be a connection that a frozen container has lost without noticing, or one with an old password.
    this.#disconnect();
  }

  #disconnect(): void {
    this.#connection?.disconnect();
    this.#connection = undefined;
  }
}

async function send(connection: Redis, calls: readonly CacheCall[]): Promise<unknown[]> {
  const commands = calls.map(({ script, key, parameters }) => ['evalsha', script.sha, 1, key, ...parameters]);
  const answers = (await connection.pipeline(commands).exec()) ?? [];
  return Promise.all(
    calls.map(({ script, key, parameters }, index) => {
      const [error, value] = answers[index] ?? [new Error('no answer')];
      if (!error) return value;
      // The server does not have the script: it is new, or was restarted.
      if (!/^NOSCRIPT/.test(error.message)) throw error;
      return connection.call('EVAL', [script.lua, 1, key, ...parameters]);
    }),
  );
}

/** @throws {Error} after `ms`; and what the promise rejects with. */
function within<Value>(ms: number, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
