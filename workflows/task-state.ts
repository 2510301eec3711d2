import type { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Chain,
  type IChainable,
  JsonPath,
  type RetryProps,
  TaskInput,
  Timeout,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import { transient } from './retry-policies.ts';

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
