import { syncBuiltinESMExports } from 'node:module';
import workerThreads, { type WorkerOptions } from 'node:worker_threads';

const { Worker } = workerThreads;

/**
 * Kills task workers of a platform that runs in this process: their thread ends wherever it is, as Lambda's sandbox does
 * when its host fails.
 */
export class WorkerKiller {
  /** Handlers with their phases (`tasks/move-data.handler copy`) whose worker was killed since `arm`. */
  readonly killed = new Set<string>();
  #after: number | undefined;
  #pattern = /(?!)/;

  /** From now on the first invocation of each phase whose handler and name match is killed, that many milliseconds later. */
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
        const task = `${this.#handler} ${phaseOf(message)}`;
        if (after === undefined || killer.killed.has(task) || !killer.#pattern.test(task)) return;
        killer.killed.add(task);
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

/** Of an invocation of a task function; the one that events and schedules get has no name. */
function phaseOf(message: unknown): string {
  const { event } = message as { event?: string };
  return (JSON.parse(event ?? '{}') as { phase?: string }).phase ?? '';
}
