import { setTimeout as delay } from 'node:timers/promises';
import { quantile } from '../interleave.ts';

/** One request. Times are of `performance.now()`. */
export interface Sample {
  /** When it was due. */
  readonly dueAt: number;
  /** From then to its answer. */
  readonly ms: number;
}

/**
 * Requests by the clock, whatever becomes of those before: a pause neither lowers the rate nor hides in it, because
 * each request is timed from the moment at which it was due.
 */
export class PacedLoad {
  readonly samples: Sample[] = [];
  readonly failures: unknown[] = [];
  readonly #request: () => Promise<unknown>;
  readonly #everyMs: number;
  readonly #underWay = new Set<Promise<void>>();
  #stopping = false;
  #schedule: Promise<void>;

  /** Begins at once. */
  constructor(perSecond: number, request: () => Promise<unknown>) {
    this.#everyMs = 1_000 / perSecond;
    this.#request = request;
    this.#schedule = this.#run();
  }

  /** Resolves when all that was sent is answered. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#schedule;
    await Promise.all(this.#underWay);
  }

  /** Milliseconds of those that were due in between. */
  between(from: number, to: number): number[] {
    return this.samples.filter(({ dueAt }) => dueAt >= from && dueAt <= to).map(({ ms }) => ms);
  }

  async #run(): Promise<void> {
    let dueAt = performance.now();
    while (!this.#stopping) {
      for (; dueAt <= performance.now(); dueAt += this.#everyMs) this.#send(dueAt);
      await delay(Math.max(0, dueAt - performance.now()));
    }
  }

  #send(dueAt: number): void {
    const answered = this.#request()
      .catch((error: unknown) => void this.failures.push(error))
      .then(() => {
        this.samples.push({ dueAt, ms: performance.now() - dueAt });
        this.#underWay.delete(answered);
      });
    this.#underWay.add(answered);
  }
}

export const longest = (samples: readonly number[]) => samples.reduce((a, b) => Math.max(a, b), 0);
export const median = (samples: readonly number[]) => quantile(samples, 0.5);
