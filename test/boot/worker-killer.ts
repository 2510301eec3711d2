import { syncBuiltinESMExports } from 'node:module';
import workerThreads, { type WorkerOptions } from 'node:worker_threads';

const { Worker } = workerThreads;

/**
 * Kills task workers of a platform that runs in this process: their thread ends wherever it is, as Lambda's sandbox does
 * when its host fails.
 */
export class WorkerKiller {
  /** Handlers (`tasks/move-copy.handler`) whose worker was killed since `arm`. */
  readonly killed = new Set<string>();
  #after: number | undefined;
  #pattern = /(?!)/;

  /** From now on the first invocation of each function whose handler matches is killed, that many milliseconds later. */
  arm(pattern: RegExp, afterMs: number): void {
    this.killed.clear();
    this.#pattern = pattern;
    this.#after = afterMs;
  }

  disarm(): void {
    this.#after = undefined;
  }

  install(): void {
    const killer = this;
    workerThreads.Worker = class extends Worker {
      readonly #handler: string;

      constructor(file: string | URL, options?: WorkerOptions) {
        super(file, options);
        this.#handler = (options?.workerData as { handler?: string } | undefined)?.handler ?? '';
      }

      override postMessage(message: unknown): void {
        super.postMessage(message);
        const after = killer.#after;
        if (after === undefined || killer.killed.has(this.#handler) || !killer.#pattern.test(this.#handler))
          return;
        killer.killed.add(this.#handler);
        setTimeout(() => void this.terminate(), after);
      }
    };
    syncBuiltinESMExports();
  }

  uninstall(): void {
    workerThreads.Worker = Worker;
    syncBuiltinESMExports();
  }
}
