import { MoveAborted } from '../errors.ts';
import type { HopContext, PhaseProgress } from '../hop.ts';

/**
 * Shows progress from inside a transaction, which must not wait for the registry: one call is under way at a time, and
 * of what comes meanwhile only the newest is told. That somebody asked to stop is noticed with the next showing; that
 * the registry did not answer is not worth a copy.
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
    this.#underWay ??= this.#tell();
  }

  /** Waits until everything is told. @throws {MoveAborted} */
  async settle(): Promise<void> {
    await this.#underWay;
    if (this.#aborted) throw this.#aborted;
  }

  async #tell(): Promise<void> {
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
