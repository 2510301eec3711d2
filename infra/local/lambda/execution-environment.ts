/**
 * One execution environment of a function: a worker thread that handles one invocation at a time.
 *
 * States: starting → idle ⇄ busy → gone. It is gone after a timeout, a crash or `stop`; a gone one is never reused.
 * Invariant: `invoke` is called only while starting or idle, by the one queue that owns it.
 */
import type { Writable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { compileCache } from '../compile-cache.ts';
import type { FunctionError, WorkerAnswer, WorkerInvocation, WorkerSetup } from './worker-main.ts';

export interface EnvironmentSpec {
  setup: WorkerSetup;
  variables: Record<string, string>;
  timeoutSeconds: number;
  log: Writable;
}

export type Outcome = { result: string } | { error: FunctionError };

const initLimit = 10_000;

export class ExecutionEnvironment {
  readonly #spec: EnvironmentSpec;
  readonly #worker: Worker;
  readonly #ready: Promise<void>;
  #settle: ((answer: WorkerAnswer) => void) | undefined;
  #crash: FunctionError | undefined;
  gone = false;

  constructor(spec: EnvironmentSpec) {
    this.#spec = spec;
    this.#worker = new Worker(new URL('./worker-main.ts', import.meta.url), {
      workerData: spec.setup,
      env: { ...spec.variables, NODE_COMPILE_CACHE: compileCache },
      execArgv: ['--no-warnings'],
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: spec.setup.memoryMb },
    });
    this.#worker.stdout.pipe(spec.log, { end: false });
    this.#worker.stderr.pipe(spec.log, { end: false });
    this.#worker.on('message', (answer: WorkerAnswer) => this.#settle?.(answer));
    this.#worker.on('error', (cause: unknown) => {
      this.#crash = crashOf(cause);
    });
    this.#worker.on('exit', (code) => {
      this.gone = true;
      const error = this.#crash ?? {
        errorType: 'Runtime.ExitError',
        errorMessage: `Runtime exited with error: exit status ${code}`,
      };
      this.#settle?.({ kind: 'error', error, fatal: true });
    });
    this.#ready = this.#next(initLimit, 'Runtime.InitTimeout').then((answer) => {
      if (answer.kind === 'error') throw answer.error;
    });
    // It is awaited by the first invocation only.
    this.#ready.catch(() => undefined);
  }

  /** Runs one event. Never rejects; after an error of the runtime the environment is gone. */
  async invoke(requestId: string, event: string): Promise<Outcome> {
    try {
      await this.#ready;
    } catch (error) {
      await this.stop();
      return { error: error as FunctionError };
    }
    const { timeoutSeconds } = this.#spec;
    const limit = timeoutSeconds * 1000;
    const answered = this.#next(limit, 'Sandbox.Timedout');
    this.#worker.postMessage({ requestId, event, deadline: Date.now() + limit } satisfies WorkerInvocation);
    const answer = await answered;
    if (answer.kind === 'result') return { result: answer.result };
    if (answer.kind === 'ready') throw new Error('a worker announced itself twice');
    if (!answer.fatal) return { error: answer.error };
    await this.stop();
    const { errorType, errorMessage } = answer.error;
    // In Lambda's words: errors of the runtime, not of the handler, begin with the request's id.
    return {
      error: { ...answer.error, errorType, errorMessage: `RequestId: ${requestId} Error: ${errorMessage}` },
    };
  }

  /** Ends the thread at once. */
  async stop(): Promise<void> {
    this.gone = true;
    await this.#worker.terminate();
  }

  #next(limit: number, timeoutType: string): Promise<WorkerAnswer> {
    return new Promise((resolve) => {
      const settle = (answer: WorkerAnswer) => {
        clearTimeout(timer);
        this.#settle = undefined;
        resolve(answer);
      };
      const timer = setTimeout(() => {
        const errorMessage = `Task timed out after ${(limit / 1000).toFixed(2)} seconds`;
        settle({ kind: 'error', error: { errorType: timeoutType, errorMessage }, fatal: true });
      }, limit);
      this.#settle = settle;
    });
  }
}

function crashOf(cause: unknown): FunctionError {
  if ((cause as { code?: unknown } | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return { errorType: 'Runtime.OutOfMemory', errorMessage: 'Runtime exited with error: signal: killed' };
  }
  const error = cause instanceof Error ? cause : new Error(String(cause));
  return {
    errorType: error.name === 'Error' ? 'Runtime.UnhandledPromiseRejection' : error.name,
    errorMessage: error.message,
    trace: (error.stack ?? '').split('\n'),
  };
}
