import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Chain,
  Choice,
  Condition,
  Errors,
  Fail,
  type IChainable,
  JitterType,
  JsonPath,
  type RetryProps,
  Succeed,
  TaskInput,
  Timeout,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import { CutOverPostponed, TablesUpgrading } from '../functions/moves/errors.ts';
import {
  DependencyUnavailable,
  ProxyBusy,
  ProxyLeaseLost,
  TenantUnreachable,
} from '../functions/places/errors.ts';

export interface TaskStateProps {
  /** Timeout of one call: a little more than the function's own. */
  readonly timeout: Duration;
  /** Retries before those for transient errors. */
  readonly retries?: readonly RetryProps[];
  /** Retries for every error that none of the others names. */
  readonly lastRetry?: RetryProps;
  /** Where the task's result goes in the state; by default nowhere, because the registry has it. */
  readonly resultPath?: string;
  /** The function's input, instead of the whole state. */
  readonly payload?: TaskInput;
}

/** A state that calls one task function, and repeats the call when that may help. */
export function taskState(
  scope: Construct,
  name: string,
  task: IFunction,
  { timeout, retries = [], lastRetry, resultPath, payload }: TaskStateProps,
): LambdaInvoke {
  const state = new LambdaInvoke(scope, name, {
    lambdaFunction: task,
    // The function's result and error names directly, without the envelope of lambda:invoke.
    payloadResponseOnly: true,
    retryOnServiceExceptions: false,
    taskTimeout: Timeout.duration(timeout),
    resultPath: resultPath ?? JsonPath.DISCARD,
    ...(payload ? { payload } : {}),
  });
  for (const retry of [...retries, transient, ...(lastRetry ? [lastRetry] : [])]) state.addRetry(retry);
  return state;
}

/** Calls one phase of a task function with the whole state of the workflow. */
export const phaseOf = (phase: string): TaskInput =>
  TaskInput.fromObject({ phase, state: JsonPath.entirePayload });

/** One after the other. */
export function phases(first: IChainable, ...rest: IChainable[]): Chain {
  return rest.reduce<Chain>((chain, next) => chain.next(next), Chain.start(first));
}

/** The end of a workflow: fails with `error`, and the report's cause, unless `$.report.complete`. */
export const completeOrFail = (scope: Construct, error: string): Choice =>
  new Choice(scope, 'Complete?')
    .when(Condition.booleanEquals('$.report.complete', true), new Succeed(scope, 'Succeeded'))
    .otherwise(new Fail(scope, 'Incomplete', { error, causePath: '$.report.cause' }));

/** Transient errors: a dependency is not available, a function was throttled, killed or interrupted. */
export const transient: RetryProps = {
  errors: [
    DependencyUnavailable.name,
    Errors.TIMEOUT,
    'Lambda.ServiceException',
    'Lambda.AWSLambdaException',
    'Lambda.SdkClientException',
    'Lambda.TooManyRequestsException',
    'Lambda.Unknown',
    'Runtime.ExitError',
    'Sandbox.Timedout',
  ],
  interval: Duration.seconds(2),
  backoffRate: 2,
  maxAttempts: 6,
  maxDelay: Duration.seconds(60),
  jitterStrategy: JitterType.FULL,
};

/** Another workflow changes the same proxy; each needs well under a minute. */
export const proxyTaken: RetryProps = {
  errors: [ProxyBusy.name, ProxyLeaseLost.name],
  interval: Duration.seconds(5),
  backoffRate: 1.2,
  maxAttempts: 30,
  maxDelay: Duration.seconds(30),
  jitterStrategy: JitterType.FULL,
};

/** A proxy takes a while before it accepts a new secret or cluster. */
export const notYetReachable: RetryProps = {
  errors: [TenantUnreachable.name],
  interval: Duration.seconds(3),
  backoffRate: 1.5,
  maxAttempts: 12,
  maxDelay: Duration.seconds(30),
};

/**
 * The tenant's writers, or another attempt, hold the lock, or a rollout has not updated the shared tables yet: repeats
 * for about five hours. Each try has waited itself, so the writers get a pause in between.
 */
export const postponed: RetryProps = {
  errors: [CutOverPostponed.name, TablesUpgrading.name],
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxAttempts: 65,
  maxDelay: Duration.minutes(5),
  jitterStrategy: JitterType.FULL,
};

/** For phases that must succeed while a user waits for the tenant: repeats for about an hour. */
export const insistent: RetryProps = {
  errors: [Errors.ALL],
  interval: Duration.seconds(5),
  backoffRate: 2,
  maxAttempts: 40,
  maxDelay: Duration.minutes(3),
  jitterStrategy: JitterType.FULL,
};

/** For phases that must succeed while no user waits: repeats for about a day. */
export const patient: RetryProps = {
  errors: [Errors.ALL],
  interval: Duration.seconds(10),
  backoffRate: 2,
  maxAttempts: 200,
  maxDelay: Duration.minutes(15),
  jitterStrategy: JitterType.FULL,
};

/** Timeouts of the functions of moves: each as long as its longest phase. */
export const MOVE_TIMEOUTS = {
  /** The registry. */
  registry: Duration.minutes(1),
  /** Calls of AWS services, and waiting for one for 50 seconds. */
  aws: Duration.minutes(2),
  /** Transactions that cannot be divided: a copy, a comparison in one snapshot, a table that is emptied. */
  data: Duration.minutes(15),
} as const;

/** How long a state waits for a function: long enough that the function's own answer comes first. */
export const beyond = (timeout: Duration): Duration => Duration.seconds(timeout.toSeconds() + 10);
