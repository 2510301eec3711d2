/**
 * One Lambda function: a queue of invocations in front of a few execution environments.
 *
 * An invocation takes an idle environment, otherwise waits a little for one, otherwise starts one more up to the limit,
 * otherwise waits in the queue. Environments that stay idle are ended after a while, as in Lambda: each takes tens of
 * megabytes. Invariants: an environment is in exactly one of idle and busy; each waits for one invocation only; a gone
 * one is in neither, and the next invocation in the queue gets a new one.
 *
 * States: serving → retired (another version takes new invocations, and this one ends those it has) → stopped.
 */
import { randomUUID } from 'node:crypto';
import type { InvokeResult } from '../model.ts';
import { type EnvironmentSpec, ExecutionEnvironment } from './execution-environment.ts';
import type { FunctionError } from './worker-main.ts';

/** Lambda's limit for synchronous requests and responses, in bytes. */
export const payloadLimit = 6 * 1024 * 1024;

/** Idle time after which an environment ends, in ms: for the one used last, and for the others. */
const idleLimits = { last: 600_000, surplus: 30_000 };

/**
 * Minimum times before a further environment is started, in ms: since the invocation arrived, and since the function's
 * last start. A start takes about as long, and most environments are released sooner; on a small machine starts slow
 * down running work.
 */
const startPatience = 100;

export class LambdaFunction {
  readonly spec: EnvironmentSpec;
  readonly #concurrency: number;
  /** The one used last is at the end, and taken first. */
  readonly #idle: ExecutionEnvironment[] = [];
  readonly #retirements = new Map<ExecutionEnvironment, NodeJS.Timeout>();
  readonly #busy = new Set<ExecutionEnvironment>();
  readonly #queue: (() => void)[] = [];
  #lastStart = -startPatience;
  #stopped = false;
  /** Invocations without an outcome yet. */
  #pending = 0;
  #drained: (() => void) | undefined;

  /** @param concurrency limit of environments; further invocations wait */
  constructor(spec: EnvironmentSpec, concurrency: number) {
    this.spec = spec;
    this.#concurrency = concurrency;
  }

  /** Runs one event; errors of the function are part of the result, as in Lambda. */
  async invoke(payload: unknown): Promise<InvokeResult> {
    this.#pending += 1;
    try {
      return await this.#run(payload);
    } finally {
      this.#pending -= 1;
      if (this.#pending === 0) this.#drained?.();
    }
  }

  /** Ends when all accepted invocations have their outcomes; no new one may arrive. Never rejects. */
  async retire(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained = resolve;
    if (this.#pending > 0) await promise;
    await this.stop();
  }

  async #run(payload: unknown): Promise<InvokeResult> {
    const requestId = randomUUID();
    const event = JSON.stringify(payload) ?? 'null';
    const environment = await this.#take();
    if (!environment)
      return failure({ errorType: 'Runtime.ExitError', errorMessage: 'The platform is stopping' });
    const outcome = await environment.invoke(requestId, event);
    this.#giveBack(environment);
    if ('error' in outcome) {
      this.spec.log.write(`${requestId} ${outcome.error.errorType}: ${outcome.error.errorMessage}\n`);
      return failure(outcome.error);
    }
    if (Buffer.byteLength(outcome.result) > payloadLimit) {
      return failure({
        errorType: 'Function.ResponseSizeTooLarge',
        errorMessage: `Response payload size exceeded maximum allowed payload size (${payloadLimit} bytes).`,
      });
    }
    return { payload: JSON.parse(outcome.result) };
  }

  /** Ends all environments; what runs or waits fails. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const wake of this.#queue.splice(0)) wake();
    await Promise.allSettled([...this.#idle, ...this.#busy].map((environment) => environment.stop()));
  }

  async #take(): Promise<ExecutionEnvironment | undefined> {
    const came = performance.now();
    for (;;) {
      if (this.#stopped) return undefined;
      let environment = this.#idle.pop();
      if (environment) this.#keep(environment);
      // One may crash while it is idle, by a timer that it left behind.
      if (environment?.gone) continue;
      let patience: number | undefined;
      if (!environment && this.#busy.size < this.#concurrency) {
        const waited = performance.now() - Math.max(came, this.#lastStart);
        patience = this.#busy.size === 0 ? 0 : Math.max(0, startPatience - waited);
        if (patience === 0) {
          this.#lastStart = performance.now();
          environment = new ExecutionEnvironment(this.spec);
        }
      }
      if (environment) {
        this.#busy.add(environment);
        return environment;
      }
      await this.#turn(patience);
    }
  }

  /** Waits until an environment is released, at most for so many milliseconds. */
  async #turn(limit: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#queue.push(resolve);
      if (limit === undefined) return;
      timer = setTimeout(() => {
        const place = this.#queue.indexOf(resolve);
        if (place >= 0) this.#queue.splice(place, 1);
        resolve();
      }, limit);
    });
    clearTimeout(timer);
  }

  #giveBack(environment: ExecutionEnvironment): void {
    this.#busy.delete(environment);
    if (!environment.gone) {
      const patience = this.#idle.length === 0 ? idleLimits.last : idleLimits.surplus;
      this.#retirements.set(environment, setTimeout(() => this.#retire(environment), patience).unref());
      this.#idle.push(environment);
    }
    this.#queue.shift()?.();
  }

  #keep(environment: ExecutionEnvironment): void {
    clearTimeout(this.#retirements.get(environment));
    this.#retirements.delete(environment);
  }

  #retire(environment: ExecutionEnvironment): void {
    this.#retirements.delete(environment);
    const index = this.#idle.indexOf(environment);
    if (index < 0) return;
    this.#idle.splice(index, 1);
    void environment.stop();
  }
}

function failure(error: FunctionError): InvokeResult {
  return { functionError: 'Unhandled', payload: error };
}
