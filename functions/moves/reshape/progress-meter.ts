import { MoveAborted } from '../errors.ts';
import type { HopContext, PhaseProgress } from '../hop.ts';

/**
 * Reports progress from inside a transaction, which must not wait for the registry: one report is under way at a time, and of
 * the updates that come meanwhile only the last is reported. An abort is noticed at the next `show`; that the registry does not
 * answer is no reason to lose a copy.
 */
export class ProgressMeter {
  readonly #context: Pick<HopContext, 'progress'>;
  #underWay: Promise<void> | undefined;
  #next: PhaseProgress | undefined;
  #aborted: MoveAborted | undefined;

  constructor(context: Pick<HopContext, 'progress'>) {
    this.#context = context;
  }

  /** @throws {MoveAborted} */
  show(update: PhaseProgress): void {
    if (this.#aborted) throw this.#aborted;
    this.#next = update;
    this.#underWay ??= this.#report();
  }

  /** Waits until everything is reported. @throws {MoveAborted} */
  async settle(): Promise<void> {
    await this.#underWay;
    if (this.#aborted) throw this.#aborted;
  }

  async #report(): Promise<void> {
    while (this.#next) {
      const update = this.#next;
      this.#next = undefined;
      try {
        await this.#context.progress(update);
      } catch (error) {
        if (error instanceof MoveAborted) this.#aborted = error;
      }
    }
    this.#underWay = undefined;
  }
}
