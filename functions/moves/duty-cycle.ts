import { setTimeout as delay } from 'node:timers/promises';

/** The share of the time in which copying works, where the configuration says nothing. */
const DEFAULT_DUTY_CYCLE = 0.5;
/** A session must not be idle for longer inside its transaction: it would be taken for a frozen one. */
const LONGEST_REST_MS = 1_000;

/** `MOVE_DUTY_CYCLE`, above 0 and up to 1: 1 never rests. @throws {TypeError} for anything else. */
export function dutyCycle(): number {
  const share = Number(process.env.MOVE_DUTY_CYCLE ?? DEFAULT_DUTY_CYCLE);
  if (!(share > 0 && share <= 1)) throw new TypeError('MOVE_DUTY_CYCLE is not above 0 and up to 1');
  return share;
}

/**
 * Leaves processors and disks to the tenants of the cell for a part of the time: after each batch the mover rests, for as
 * long as the duty cycle asks, compared with how long the batch took.
 */
export class DutyCycle {
  readonly #share: number;
  readonly #limitMs: number;
  #workedMs = 0;
  #restedMs = 0;
  #since: number;

  /**
   * Begins to work.
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
