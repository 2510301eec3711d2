/**
 * Caches the registry's last answer for each key, and decides when that answer may be used.
 *
 * States of a key: unknown ──look up──▶ answered "none" | answered with a value: fresh ──freshForMs──▶ stale
 *                  ──staleForMs──▶ unknown. Every new answer replaces the one before, whatever it says.
 * States of the registry, as this container sees it: well ──a look-up fails, or takes longer than `patienceMs`──▶
 *                  in doubt ──a look-up succeeds, or `DOUBT_MS` after the last failure──▶ well
 * Invariants:
 * - a value that a later answer contradicted is never used again; "none" is an answer and is cached as one;
 * - "none" is never fresh: it is looked up again each time, and used only while the registry does not answer;
 * - while the registry is in doubt, callers get a stale answer at once, and one look-up at a time runs in the
 *   background;
 * - no caller waits longer than `lookUpLimitMs`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { RegistryError } from '../registry/errors.ts';
import { TenantUnavailable } from './errors.ts';

export interface RegistryMemoryOptions {
  /** The number of cached keys. */
  readonly cap: number;
  /** How long a value is used without a look-up, in milliseconds. */
  readonly freshForMs: number;
  /** How long after its last confirmation an answer may be used while the registry does not answer. */
  readonly staleForMs: number;
  /** How long a caller waits for a fresh answer when there is a stale one. */
  readonly patienceMs: number;
  /** How long a caller waits when there is no answer. */
  readonly lookUpLimitMs: number;
}

/**
 * Doubt ends by itself, because a container that was frozen during a look-up must try again. It lasts longer than a
 * look-up may take, so that background look-ups renew it and no further request waits.
 */
const DOUBT_MS = 10_000;
/** Pause between two background look-ups: when each fails at once, they must not use the time that requests need. */
const PROBE_PAUSE_MS = 500;
/** Seconds after which a client should repeat a request that got no answer. */
const RETRY_AFTER = 2;

/** Whether the registry answers. All caches of one container share it, so that one failure counts for all of them. */
export class RegistryHealth {
  #doubtUntil = 0;
  /** On `performance.now()`'s clock; infinite while a background look-up is running. */
  nextProbeAt = 0;

  get inDoubt(): boolean {
    return performance.now() < this.#doubtUntil;
  }

  failed(): void {
    this.#doubtUntil = performance.now() + DOUBT_MS;
  }

  succeeded(): void {
    this.#doubtUntil = 0;
  }
}

/** `undefined` is the answer "none". */
interface Remembered<Value> {
  readonly value: Value | undefined;
  /** When its look-up began: the registry may have changed since then. */
  readonly confirmedAt: number;
}

export class RegistryMemory<Value extends object | string> {
  readonly #answers: LRUCache<string, Remembered<Value>>;
  readonly #lookUps = new Map<string, Promise<Value | undefined>>();
  readonly #health: RegistryHealth;
  readonly #ask: (key: string) => Promise<Value | undefined>;
  readonly #options: RegistryMemoryOptions;

  constructor(
    health: RegistryHealth,
    ask: (key: string) => Promise<Value | undefined>,
    options: RegistryMemoryOptions,
  ) {
    this.#health = health;
    this.#ask = ask;
    this.#options = options;
    this.#answers = new LRUCache({ max: options.cap });
  }

  /**
   * The value of the key, or undefined when the registry has none.
   * @throws {TenantUnavailable} the registry does not answer, and no cached answer may be used.
   */
  async get(key: string): Promise<Value | undefined> {
    const { freshForMs, staleForMs, patienceMs } = this.#options;
    const known = this.#answers.get(key);
    const age = known ? performance.now() - known.confirmedAt : Number.POSITIVE_INFINITY;
    if (known?.value !== undefined && age < freshForMs) return known.value;
    if (!known || age >= staleForMs) return this.look(key);
    if (this.#health.inDoubt) {
      this.#probe(key);
      return known.value;
    }
    try {
      return await this.#inTime(this.#lookUp(key), patienceMs);
    } catch {
      // Read again: another answer may have arrived in the meantime.
      return (this.#answers.get(key) ?? known).value;
    }
  }

  /**
   * Looks the key up, even if an answer is cached.
   * @throws {TenantUnavailable} the registry does not answer in time; {RegistryError} it refused the statement.
   */
  async look(key: string): Promise<Value | undefined> {
    const { patienceMs, lookUpLimitMs } = this.#options;
    try {
      return await this.#inTime(this.#lookUp(key), this.#health.inDoubt ? patienceMs : lookUpLimitMs);
    } catch (error) {
      throw unanswered(error);
    }
  }

  /** As `look`, but fails at once while the registry is in doubt. */
  async lookUnlessInDoubt(key: string): Promise<Value | undefined> {
    if (!this.#health.inDoubt) return this.look(key);
    this.#probe(key);
    throw unanswered(new NoAnswer());
  }

  /** The cached value, of any age. */
  recall(key: string): Value | undefined {
    return this.#answers.get(key)?.value;
  }

  /** Caches an answer of the registry. @param confirmedAt on `performance.now()`'s clock. */
  remember(key: string, value: Value | undefined, confirmedAt = performance.now()): void {
    this.#answers.set(key, { value, confirmedAt });
  }

  /** Replaces a value by a newer one that the registry has not confirmed yet; its age stays the same. */
  amend(key: string, value: Value): void {
    const known = this.#answers.get(key);
    if (known) this.#answers.set(key, { ...known, value });
  }

  /** One look-up per key at a time. */
  #lookUp(key: string): Promise<Value | undefined> {
    const running = this.#lookUps.get(key);
    if (running) return running;
    const before = this.#answers.get(key);
    const began = performance.now();
    const lookUp = this.#inTime(this.#ask(key), this.#options.lookUpLimitMs).then(
      (value) => {
        this.#health.succeeded();
        // An answer that arrived in the meantime is newer than this one, whose look-up began earlier.
        if (this.#answers.get(key) !== before) return this.#answers.get(key)?.value;
        this.remember(key, value, began);
        return value;
      },
      (error: unknown) => {
        // A statement that PostgreSQL refuses is an answer: the registry works.
        if (!isRefused(error)) this.#health.failed();
        throw error;
      },
    );
    this.#lookUps.set(key, lookUp);
    const forget = () => this.#lookUps.delete(key);
    lookUp.then(forget, forget);
    return lookUp;
  }

  #probe(key: string): void {
    if (performance.now() < this.#health.nextProbeAt) return;
    this.#health.nextProbeAt = Number.POSITIVE_INFINITY;
    const ended = () => {
      this.#health.nextProbeAt = performance.now() + PROBE_PAUSE_MS;
    };
    this.#lookUp(key).then(ended, ended);
  }

  /** @throws {NoAnswer} after `ms`; the registry is in doubt then. */
  async #inTime<Answer>(answer: Promise<Answer>, ms: number): Promise<Answer> {
    const timer = new AbortController();
    const late = delay(ms, undefined, { signal: timer.signal }).then(() => {
      this.#health.failed();
      throw new NoAnswer();
    });
    late.catch(() => {});
    answer.catch(() => {});
    try {
      return await Promise.race([answer, late]);
    } finally {
      timer.abort();
    }
  }
}

class NoAnswer extends Error {
  override name = 'NoAnswer';
  constructor() {
    super('the registry does not answer in time');
  }
}

/** PostgreSQL refused the statement for a reason other than its own state (connection, resources, shutdown). */
function isRefused(error: unknown): boolean {
  return error instanceof RegistryError && /^(?!08|53|57)/.test(error.sqlState ?? '08');
}

function unanswered(cause: unknown): unknown {
  if (isRefused(cause)) return cause;
  return new TenantUnavailable('the registry does not answer', RETRY_AFTER, { cause });
}

/** A look-up whose answer is not cached. @throws {TenantUnavailable} the registry does not answer. */
export async function askOnce<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    throw unanswered(error);
  }
}
