import { setTimeout as delay } from 'node:timers/promises';
import {
  ExecutionAbortedError,
  ExecutionTimeoutError,
  type RunOptions,
  StateMachine,
} from 'aws-local-stepfunctions';
import type { Authorizer } from '../../iam/authorizer.ts';
import type { Execution, ExecutionStore } from './execution-store.ts';
import { HistoryRecorder, type InterpreterEvent } from './history.ts';
import { type LocalTask, localDefinition, waitSeconds } from './local-definition.ts';
import type { StateMachineRecord } from './state-machines.ts';
import { TaskFailure, type TaskResources } from './task-resources.ts';

/** Events an execution may have in AWS. */
const HISTORY_LIMIT = 25_000;

interface Running {
  execution: Execution;
  recorder: HistoryRecorder;
  abort(): void;
  /** How StopExecution explained itself. */
  stopped?: { error?: string | undefined; cause?: string | undefined };
  ended: Promise<void>;
}

type Handlers = NonNullable<NonNullable<RunOptions['overrides']>['taskResourceLocalHandlers']>;

/** Runs executions with the interpreter and keeps their records. */
export class ExecutionRunner {
  readonly #store: ExecutionStore;
  readonly #tasks: TaskResources;
  readonly #authorizer: Authorizer;
  readonly #waitScale: number;
  readonly #changed: (execution: Execution) => void;
  readonly #running = new Map<string, Running>();

  /** @param changed told of every status an execution takes, once it is durable */
  constructor(
    store: ExecutionStore,
    tasks: TaskResources,
    authorizer: Authorizer,
    waitScale: number,
    changed: (execution: Execution) => void,
  ) {
    this.#store = store;
    this.#tasks = tasks;
    this.#authorizer = authorizer;
    this.#waitScale = waitScale;
    this.#changed = changed;
  }

  /** The execution is durable when this returns; it runs on by itself. */
  start(machine: StateMachineRecord, execution: Execution): void {
    const state = { Name: '', EnteredTime: '', RetryCount: 0 };
    const input = JSON.parse(execution.input);
    const local = localDefinition(machine.definition, this.#waitScale, input, (name) => {
      Object.assign(state, { Name: name, EnteredTime: new Date().toISOString(), RetryCount: 0 });
    });
    const abortion = new AbortController();
    const resources = new Map<string, string>();
    const handlers: Handlers = {};
    for (const [name, task] of local.tasks) {
      if (task.kind === 'task') resources.set(name, task.resource);
      handlers[name] = this.#handler(task, machine, execution, abortion.signal, () => {
        state.RetryCount += 1;
      });
    }
    const recorder = new HistoryRecorder(local.types, resources, machine.roleArn, (event) =>
      this.#store.record(execution.arn, event),
    );
    this.#store.start(execution, recorder.events);
    this.#changed(execution);
    const interpreter = new StateMachine(local.definition, { validationOptions: { noValidate: true } });
    const run = interpreter.run(input, {
      overrides: { taskResourceLocalHandlers: handlers },
      context: {
        Execution: { Id: execution.arn, Name: execution.name, RoleArn: machine.roleArn, RedriveCount: 0 },
        State: state,
        StateMachine: { Id: machine.arn, Name: machine.name },
      },
    });
    const running: Running = {
      execution,
      recorder,
      abort() {
        abortion.abort();
        run.abort();
      },
      ended: Promise.resolve(),
    };
    this.#running.set(execution.arn, running);
    const events = this.#follow(run.eventLogs as AsyncGenerator<InterpreterEvent>, running);
    running.ended = this.#settle(run.result, events, running);
  }

  /** Once functions can run: what the last run left behind has become ABORTED. */
  resume(): void {
    this.#store.settleInterrupted(this.#changed);
  }

  /** Returns whether it was running. Resolves once it has ended. */
  async stop(
    arn: string,
    reason: { error?: string | undefined; cause?: string | undefined },
  ): Promise<boolean> {
    const running = this.#running.get(arn);
    if (!running) return false;
    running.stopped ??= reason;
    running.abort();
    await running.ended;
    return true;
  }

  async stopAll(cause: string): Promise<void> {
    await Promise.all([...this.#running.keys()].map((arn) => this.stop(arn, { cause })));
  }

  #handler(
    task: LocalTask,
    machine: StateMachineRecord,
    execution: Execution,
    signal: AbortSignal,
    failed: () => void,
  ): Handlers[string] {
    return async (input) => {
      // The interpreter begins a retry that it was waiting for even after the execution was stopped.
      if (signal.aborted)
        throw new TaskFailure('States.Runtime', 'The execution has ended', { terminal: true });
      try {
        if (task.kind === 'wait') {
          await delay(waitSeconds(task.state, input) * 1_000 * this.#waitScale, undefined, { signal });
          return input;
        }
        const principal = this.#authorizer.session(machine.roleArn, execution.name);
        const { resource } = task;
        return (await this.#tasks.run(resource, input, principal, machine.region, signal)) as typeof input;
      } catch (cause) {
        failed();
        throw cause;
      }
    };
  }

  async #follow(events: AsyncGenerator<InterpreterEvent>, running: Running): Promise<void> {
    for await (const event of events) {
      running.recorder.record(event);
      if (running.recorder.events.length <= HISTORY_LIMIT || running.stopped) continue;
      running.stopped = {
        error: 'States.Runtime',
        cause: `The execution reached the maximum number of history events (${HISTORY_LIMIT}).`,
      };
      running.abort();
    }
  }

  async #settle(result: Promise<unknown>, events: Promise<void>, running: Running): Promise<void> {
    const { execution, recorder } = running;
    try {
      const output = await result;
      Object.assign(execution, { status: 'SUCCEEDED', output: JSON.stringify(output ?? null) });
    } catch (cause) {
      Object.assign(execution, outcomeOf(cause, running.stopped));
    }
    await events;
    execution.stopDate = Date.now();
    const { status, output, error, cause } = execution;
    const [type, member] = END_EVENTS[status]!;
    recorder.add(
      type,
      { [member]: status === 'SUCCEEDED' ? { output } : { error, cause } },
      execution.stopDate,
    );
    this.#running.delete(execution.arn);
    this.#store.end(execution);
    this.#changed(execution);
  }
}

const END_EVENTS: Record<string, [type: string, details: string]> = {
  SUCCEEDED: ['ExecutionSucceeded', 'executionSucceededEventDetails'],
  FAILED: ['ExecutionFailed', 'executionFailedEventDetails'],
  TIMED_OUT: ['ExecutionTimedOut', 'executionTimedOutEventDetails'],
  ABORTED: ['ExecutionAborted', 'executionAbortedEventDetails'],
};

function outcomeOf(cause: unknown, stopped: Running['stopped']): Partial<Execution> {
  if (cause instanceof ExecutionAbortedError || stopped) {
    const status = stopped?.error === 'States.Runtime' ? 'FAILED' : 'ABORTED';
    return { status, ...named(stopped?.error, stopped?.cause) };
  }
  if (cause instanceof ExecutionTimeoutError) return { status: 'TIMED_OUT' };
  const error = (cause as Error).cause as Error & { isRetryable?: boolean };
  // Whatever is not a failure of a state is the interpreter's own, such as a path applied to nothing.
  const name =
    error instanceof TaskFailure || error.isRetryable !== undefined ? error.name : 'States.Runtime';
  return { status: 'FAILED', ...named(name, error.message) };
}

function named(error: string | undefined, cause: string | undefined): Partial<Execution> {
  return { ...(error ? { error } : {}), ...(cause ? { cause } : {}) };
}
