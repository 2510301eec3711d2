import { setTimeout as delay } from 'node:timers/promises';

/** The default share of the time in which a copy works. */
const DEFAULT_DUTY_CYCLE = 0.5;
/** Limit of one rest: a session that is idle for longer inside its transaction is treated as frozen. */
const LONGEST_REST_MS = 1_000;

/** `MOVE_DUTY_CYCLE`, above 0 and up to 1: 1 never rests. @throws {TypeError} for anything else. */
export function dutyCycle(): number {
  const share = Number(process.env.MOVE_DUTY_CYCLE ?? DEFAULT_DUTY_CYCLE);
  if (!(share > 0 && share <= 1)) throw new TypeError('MOVE_DUTY_CYCLE is not above 0 and up to 1');
  return share;
}

/**
 * Leaves processors and disks to the cell's tenants for part of the time: after each batch the attempt rests, in
 * proportion to the time that the batch took.
 */
export class DutyCycle {
  readonly #share: number;
  readonly #limitMs: number;
  #workedMs = 0;
  #restedMs = 0;
  #since: number;

  /**
   * Starts to work.
   * @param limitMs how long all of it may take with its rests. A copy that will take longer anyway does not rest.
   */
  constructor(limitMs: number, share = dutyCycle()) {
    this.#share = share;
    this.#limitMs = limitMs;
    this.#since = performance.now();
  }

  get restedMs(): number {
    return this.#restedMs;
  }

  /** Rests after a batch. @param done the share of all work that is done, 0 to 1. */
  async rest(done: number): Promise<void> {
    const begun = performance.now();
    const batchMs = begun - this.#since;
    this.#workedMs += batchMs;
    const restMs = Math.min((batchMs * (1 - this.#share)) / this.#share, LONGEST_REST_MS);
    const allMs = this.#workedMs / Math.max(done, Number.EPSILON);
    if (done < 1 && restMs > 0 && allMs + this.#restedMs + restMs <= this.#limitMs) await delay(restMs);
    this.#since = performance.now();
    this.#restedMs += this.#since - begun;
  }
}
