import { once } from 'node:events';
import tls from 'node:tls';
import { Worker } from 'node:worker_threads';
import type { Hop } from '../../../functions/moves/hop.ts';
import type { MoveRun } from './move-steps.ts';

/** What the thread answers; its times are counted from 1970, as those of no thread's own clock. */
export type MoverAnswer = { readonly run: MoveRun } | { readonly error: unknown };

/**
 * Moves tenants in a thread of its own, as functions do that share no process with those who serve requests: what a
 * mover computes must not look like a slow database to whoever is timed here.
 */
export class Mover {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Knows the servers that this thread has met so far. @param environment of the mover, beside this process's. */
  static async start(environment: Readonly<Record<string, string>> = {}): Promise<Mover> {
    const worker = new Worker(new URL('./mover-thread.ts', import.meta.url), {
      env: { ...process.env, ...environment },
      workerData: { certificates: tls.getCACertificates('default') },
    });
    await once(worker, 'message');
    return new Mover(worker);
  }

  /** Makes the hop. @throws what a step has thrown. */
  async move(hop: Hop): Promise<MoveRun> {
    const answered = once(this.#worker, 'message');
    this.#worker.postMessage(hop);
    const [answer] = (await answered) as [MoverAnswer];
    if ('error' in answer) throw answer.error;
    const { phases, ...run } = answer.run;
    const ours = (ms: number) => ms - performance.timeOrigin;
    return {
      ...run,
      phases: phases.map(({ name, startedAt, endedAt }) => ({
        name,
        startedAt: ours(startedAt),
        endedAt: ours(endedAt),
      })),
    };
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
