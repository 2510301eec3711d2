/**
 * Runs schedules when they are due, by the wall clock.
 *
 * States: idle → running → stopped. Due times that pass while it is not running are not made up. Runs of one schedule
 * may overlap, as in AWS. Invariant: while running, the timer is armed for the earliest due time or earlier.
 */
import { randomUUID } from 'node:crypto';
import { reasonOf } from '../../../errors.ts';
import type { Log } from '../../../model.ts';
import { withRetries } from '../../targets.ts';
import type { Schedule, ScheduleDefinition, Schedules } from './schedules.ts';

export interface ScheduleRun {
  /** Epoch milliseconds. */
  due: number;
  /** From 1. */
  attempt: number;
  /** The same for all attempts. */
  id: string;
}

export interface ScheduleRunnerOptions {
  schedules: Schedules;
  /** Factor on the pauses before retries; due times are never scaled. */
  waitScale: number;
  run(schedule: Schedule, run: ScheduleRun): Promise<void>;
  log: Log;
}

/** Timers drift while a machine sleeps: look again at least this often. */
const LONGEST_SLEEP_MS = 60_000;

export class ScheduleRunner {
  readonly #options: ScheduleRunnerOptions;
  readonly #due = new Map<string, number>();
  readonly #stopping = new AbortController();
  #running = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ScheduleRunnerOptions) {
    this.#options = options;
  }

  put(definition: ScheduleDefinition, now: number): Schedule {
    const schedule = this.#options.schedules.put(definition, now);
    if (this.#running) {
      this.#plan(schedule, now);
      this.#arm(now);
    }
    return schedule;
  }

  remove(arn: string): void {
    this.#options.schedules.remove(arn);
    this.#due.delete(arn);
  }

  start(now = Date.now()): void {
    this.#running = true;
    for (const schedule of this.#options.schedules.all()) this.#plan(schedule, now);
    this.#arm(now);
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  /** Starts what is due at `now`. Resolves when all of it has ended; the timer does not wait for that. */
  async runDue(now: number): Promise<void> {
    const { schedules } = this.#options;
    const runs: Promise<void>[] = [];
    for (const [arn, due] of this.#due) {
      if (due > now) continue;
      const schedule = schedules.get(arn)!;
      schedules.ran(schedule, due);
      this.#plan(schedule, now);
      runs.push(this.#deliver(schedule, due));
    }
    this.#arm(now);
    await Promise.all(runs);
  }

  #plan(schedule: Schedule, now: number): void {
    const due = this.#options.schedules.next(schedule, now);
    if (due === undefined) this.#due.delete(schedule.arn);
    else this.#due.set(schedule.arn, due);
  }

  #arm(now: number): void {
    clearTimeout(this.#timer);
    if (!this.#running || this.#due.size === 0) return;
    const wait = Math.min(...this.#due.values()) - now;
    this.#timer = setTimeout(
      () => void this.runDue(Date.now()),
      Math.min(Math.max(wait, 0), LONGEST_SLEEP_MS),
    );
    this.#timer.unref();
  }

  /** Never rejects. */
  async #deliver(schedule: Schedule, due: number): Promise<void> {
    const { waitScale, run, log } = this.#options;
    const { retries, maximumEventAgeSeconds } = schedule.target;
    const id = randomUUID();
    const tooOld = AbortSignal.timeout(maximumEventAgeSeconds * 1_000);
    const signal = AbortSignal.any([this.#stopping.signal, tooOld]);
    try {
      await withRetries((attempt) => run(schedule, { due, attempt, id }), {
        retries,
        waitScale,
        signal,
      });
    } catch (cause) {
      if (!this.#stopping.signal.aborted) log(`schedule ${schedule.name}: ${reasonOf(cause)}`);
    }
  }
}
