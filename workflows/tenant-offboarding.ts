/**
 * `tenant-offboarding`: takes leave of a tenant. It refuses requests from the request on, so that the final export has
 * everything; after the grace period it is erased everywhere, and a signed certificate says what was removed and what a
 * policy keeps until when.
 *
 * Input: { tenantId: id or slug } or { slug }; the API and the daily run add `offboardingId`, the record of their request.
 *
 *   begin ─▶ export ─▶ grace ─▶ last-check ─▶ proxies ─▶ databases ─▶ services ─▶ other-regions ─▶ registry ─▶ certify
 *                                    └── the point of no return
 *
 * Every phase may run any number of times: the registry records what is done. A cancelled offboarding ends its execution at
 * the next phase, as succeeded, and so does one whose tenant has a legal hold at the end of its grace period. Before the
 * erasure a failure ends the offboarding, and the tenant is again what it was. In the erasure a failed or stopped execution
 * is followed by another one, which recovery starts.
 *
 * State: { executionArn, input, offboarding: { offboardingId, tenantId, erasing, ended }, step: the last phase's result }.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Chain,
  Choice,
  Condition,
  Errors,
  Fail,
  JitterType,
  Pass,
  type RetryProps,
  type StateMachine,
  Succeed,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { BackupInProgress, BackupNotStarted } from '../functions/backups/errors.ts';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { ExportNotStarted } from '../functions/exports/errors.ts';
import { TenantBusy } from '../functions/offboarding/errors.ts';
import {
  beyond,
  insistent,
  phaseOf,
  phases,
  proxyTaken,
  type TaskStateProps,
  taskState,
} from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface TenantOffboardingProps {
  readonly tasks: {
    /** The entry `offboarding-registry`. */
    readonly registry: IFunction;
    /** The entry `offboarding-data`. */
    readonly data: IFunction;
    /** The entry `offboarding-aws`. */
    readonly aws: IFunction;
  };
  readonly graceMinutes: number;
  /** Log group of the state machine; the caller decides retention and removal. */
  readonly logGroup: ILogGroup;
}

/** Timeouts of the functions. Each returns before its own, and continues in the next call. */
export const OFFBOARDING_TIMEOUTS = {
  registry: Duration.minutes(2),
  data: Duration.minutes(15),
  aws: Duration.minutes(5),
} as const;

/** A request that a container has let in by its cache, and its transaction, have ended by then. */
const SETTLED = Duration.seconds(35);

/** A backup or another piece of work of the tenant is running: for about a day. */
const busy: RetryProps = {
  errors: [TenantBusy.name],
  interval: Duration.seconds(20),
  backoffRate: 1.5,
  maxAttempts: 150,
  maxDelay: Duration.minutes(10),
  jitterStrategy: JitterType.FULL,
};

const notStarted: RetryProps = {
  errors: [ExportNotStarted.name, BackupNotStarted.name, BackupInProgress.name],
  interval: Duration.seconds(5),
  backoffRate: 2,
  maxAttempts: 8,
  maxDelay: Duration.minutes(2),
  jitterStrategy: JitterType.FULL,
};

type Task = keyof TenantOffboardingProps['tasks'];

export class TenantOffboarding extends Construct {
  readonly stateMachine: StateMachine;
  readonly #tasks: TenantOffboardingProps['tasks'];
  readonly #failed: LambdaInvoke;

  constructor(scope: Construct, id: string, { tasks, graceMinutes, logGroup }: TenantOffboardingProps) {
    super(scope, id);
    this.#tasks = tasks;
    this.#failed = this.#recordFailure();
    const erasure = phases(
      this.#phase('Last check', 'registry', 'last-check', { retries: [busy] }),
      this.#phase('Erase from proxies', 'aws', 'proxies', { retries: [proxyTaken], lastRetry: insistent }),
      this.#untilDone('Erase databases', 'data', 'erase', Duration.seconds(10), {
        retries: [busy],
        lastRetry: insistent,
      }),
      this.#untilDone('Erase services', 'aws', 'erase', Duration.seconds(20), { lastRetry: insistent }),
      this.#untilDone('Erase other regions', 'registry', 'other-regions', Duration.seconds(30), {
        lastRetry: insistent,
      }),
      this.#phase('Erase registry', 'registry', 'registry', { lastRetry: insistent }),
      this.#phase('Certify', 'registry', 'certify', { lastRetry: insistent }),
      new Pass(this, 'Result', {
        parameters: {
          'offboardingId.$': '$.offboarding.offboardingId',
          'tenantId.$': '$.offboarding.tenantId',
        },
      }),
    );
    const leave = phases(
      new Wait(this, 'Settle', { time: WaitTime.duration(SETTLED) }),
      this.#untilDone('Export', 'registry', 'export', Duration.seconds(20), { retries: [notStarted] }),
      this.#phase('Begin grace', 'registry', 'grace', { resultPath: '$.step' }),
      new Wait(this, 'Grace period', { time: WaitTime.timestampPath('$.step.graceUntil') }),
      erasure,
    );
    const isTrue = (field: string) => Condition.booleanEquals(`$.offboarding.${field}`, true);
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      this.#phase('Begin', 'registry', 'begin', { resultPath: '$.offboarding' }),
      new Choice(this, 'Where?')
        .when(isTrue('ended'), new Succeed(this, 'Ended already'))
        .when(isTrue('erasing'), erasure)
        .otherwise(leave),
    );
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.offboarding,
      definition,
      // A backstop: recovery continues what an execution has left.
      timeout: Duration.minutes(graceMinutes + 14 * 24 * 60),
      logGroup,
    });
  }

  #phase(name: string, task: Task, phase: string, settings: Partial<TaskStateProps> = {}): LambdaInvoke {
    const state = this.#state(name, task, phase, settings);
    state.addCatch(this.#failed, { errors: [Errors.ALL], resultPath: '$.failure' });
    return state;
  }

  #state(name: string, task: Task, phase: string, settings: Partial<TaskStateProps>): LambdaInvoke {
    return taskState(this, name, this.#tasks[task], {
      timeout: beyond(OFFBOARDING_TIMEOUTS[task]),
      payload: phaseOf(phase),
      ...settings,
    });
  }

  /** Calls the phase until it says that it is done, with pauses. */
  #untilDone(
    name: string,
    task: Task,
    phase: string,
    pause: Duration,
    settings: Partial<TaskStateProps>,
  ): Chain {
    const state = this.#phase(name, task, phase, { ...settings, resultPath: '$.step' });
    const again = new Wait(this, `Wait for ${name.toLowerCase()}`, { time: WaitTime.duration(pause) });
    const done = new Choice(this, `${name}: done?`).when(
      Condition.booleanEquals('$.step.done', false),
      again.next(state),
    );
    state.next(done);
    return Chain.custom(state, done.afterwards({ includeOtherwise: true }).endStates, done);
  }

  /** Records the failure, and ends the execution with a reason that may be shown. */
  #recordFailure(): LambdaInvoke {
    const record = this.#state('Record failure', 'registry', 'fail', { resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause:
          'The offboarding failed, and its failure could not be recorded in the registry. Recovery continues it.',
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    const isOutcome = (outcome: string) => Condition.stringEquals('$.outcome.outcome', outcome);
    record.next(
      new Choice(this, 'Outcome?')
        .when(isOutcome('cancelled'), new Succeed(this, 'Cancelled'))
        // Recovery starts another execution when the hold is released.
        .when(isOutcome('held'), new Succeed(this, 'Held'))
        // Only the answer of the last phase was lost.
        .when(isOutcome('succeeded'), new Succeed(this, 'Finished already'))
        .otherwise(new Fail(this, 'Failed', { errorPath: '$.failure.Error', causePath: '$.outcome.reason' })),
    );
    return record;
  }
}
