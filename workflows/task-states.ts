import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Chain,
  Errors,
  type IChainable,
  JitterType,
  JsonPath,
  type RetryProps,
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
  /** Of one attempt: a little more than the function's own. */
  readonly timeout: Duration;
  /** Tried before what passes by itself. */
  readonly retries?: readonly RetryProps[];
  /** Tried for every error that none of them names. */
  readonly lastRetry?: RetryProps;
  /** Where the task's answer goes in the state; by default nowhere, since the registry knows. */
  readonly resultPath?: string;
  /** What the function is called with, instead of the whole state. */
  readonly payload?: TaskInput;
}

/** A state that calls one task function, and calls it again where that may help. */
export function taskState(
  scope: Construct,
  name: string,
  task: IFunction,
  { timeout, retries = [], lastRetry, resultPath, payload }: TaskStateProps,
): LambdaInvoke {
  const state = new LambdaInvoke(scope, name, {
    lambdaFunction: task,
    // The function's answer and error names as they are, without the envelope of lambda:invoke.
    payloadResponseOnly: true,
    retryOnServiceExceptions: false,
    taskTimeout: Timeout.duration(timeout),
    resultPath: resultPath ?? JsonPath.DISCARD,
    ...(payload ? { payload } : {}),
  });
  for (const retry of [...retries, transient, ...(lastRetry ? [lastRetry] : [])]) state.addRetry(retry);
  return state;
}

/** What calls one phase of a task function with the whole state of the workflow. */
export const phaseOf = (phase: string): TaskInput =>
  TaskInput.fromObject({ phase, state: JsonPath.entirePayload });

/** One after the other. */
export function phases(first: IChainable, ...rest: IChainable[]): Chain {
  return rest.reduce<Chain>((chain, next) => chain.next(next), Chain.start(first));
}

/** What passes by itself: a dependency that is away, a function that was throttled, killed or cut off. */
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

/** A proxy takes a while before it knows a new secret or cluster. */
export const notYetReachable: RetryProps = {
  errors: [TenantUnreachable.name],
  interval: Duration.seconds(3),
  backoffRate: 1.5,
  maxAttempts: 12,
  maxDelay: Duration.seconds(30),
};

/**
 * The tenant's writers, or another mover, would not let the step have its turn, or a rollout is not done with the shared
 * tables: it is asked for again for about five hours. Each try has been patient itself, so the writers get a rest in between.
 */
export const postponed: RetryProps = {
  errors: [CutOverPostponed.name, TablesUpgrading.name],
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxAttempts: 65,
  maxDelay: Duration.minutes(5),
  jitterStrategy: JitterType.FULL,
};

/** For what has to be done whatever stands in its way, for about an hour: somebody waits for the tenant to be free. */
export const insistent: RetryProps = {
  errors: [Errors.ALL],
  interval: Duration.seconds(5),
  backoffRate: 2,
  maxAttempts: 40,
  maxDelay: Duration.minutes(3),
  jitterStrategy: JitterType.FULL,
};

/** For what has to be done and nobody waits for, for about a day. */
export const patient: RetryProps = {
  errors: [Errors.ALL],
  interval: Duration.seconds(10),
  backoffRate: 2,
  maxAttempts: 200,
  maxDelay: Duration.minutes(15),
  jitterStrategy: JitterType.FULL,
};

/** How long the functions of moves may take: each as long as its longest phase. */
export const MOVE_TIMEOUTS = {
  /** The registry. */
  registry: Duration.minutes(1),
  /** Calls of AWS services, and waiting for one for 50 seconds. */
  aws: Duration.minutes(2),
  /** Transactions that nothing can divide: a copy, a comparison in one snapshot, a table that is emptied. */
  data: Duration.minutes(15),
} as const;

/** What a state waits for a function, so that the function's own answer comes first. */
export const beyond = (timeout: Duration): Duration => Duration.seconds(timeout.toSeconds() + 10);
