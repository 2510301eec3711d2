import { randomUUID } from 'node:crypto';
import { FunctionNotFound } from '../../../errors.ts';
import { LOCAL_ACCOUNT, type PlatformContext, type Properties } from '../../../model.ts';
import { AwsError, ResourceFailure } from '../../errors.ts';
import type { Authorizer } from '../../iam/authorizer.ts';
import { Undeliverable } from '../delivery-retries.ts';
import type { ServiceCall } from '../states/task-resources.ts';
import type { Schedule } from './schedules.ts';

export interface ScheduleTarget {
  arn: string;
  roleArn: string;
  /** JSON text; without it the target gets a 'Scheduled Event'. */
  input: string | undefined;
  /** Attempts after the first one. */
  retries: number;
  maximumEventAgeSeconds: number;
}

/** Lambda's own number. EventBridge Scheduler's default is 185, over a day. */
const DEFAULT_RETRIES = 2;

/** @throws {ResourceFailure} for a target that is not run here */
export function readTarget(properties: Properties): ScheduleTarget {
  const arn = String(properties.Arn);
  if (arn.startsWith('arn:aws:scheduler:::aws-sdk:')) {
    throw new ResourceFailure(
      `universal targets are not run locally (${arn}): name a function or a state machine`,
    );
  }
  if (!/^arn:aws:lambda:[^:]+:\d+:function:|^arn:aws:states:[^:]+:\d+:stateMachine:/.test(arn)) {
    throw new ResourceFailure(`schedules run functions and state machines locally, not ${arn}`);
  }
  const input = properties.Input as string | undefined;
  if (input !== undefined && parsed(input) === undefined) {
    throw new ResourceFailure('the Input of a target must be JSON');
  }
  const policy = (properties.RetryPolicy ?? {}) as Record<string, unknown>;
  return {
    arn,
    roleArn: String(properties.RoleArn),
    input,
    retries: Number(policy.MaximumRetryAttempts ?? DEFAULT_RETRIES),
    maximumEventAgeSeconds: Number(policy.MaximumEventAgeInSeconds ?? 86_400),
  };
}

export interface TargetCalls {
  context: PlatformContext;
  authorizer: Authorizer;
  call: ServiceCall;
}

/**
 * Runs a schedule's target once, with the rights of the target's role. A function is awaited, so that the schedule's
 * own retries cover what fails inside it.
 * @throws {Undeliverable} when the role may not, or the target is gone
 * @throws {Error} when the target failed
 */
export async function runTarget(
  schedule: Schedule,
  run: { due: number; attempt: number; id: string },
  { context, authorizer, call }: TargetCalls,
): Promise<void> {
  const { target, region } = schedule;
  const input = inputOf(schedule, run);
  const principal = authorizer.session(target.roleArn, schedule.name);
  if (target.arn.startsWith('arn:aws:states:')) {
    try {
      await call('states', 'StartExecution', { stateMachineArn: target.arn, input }, principal, region);
      return;
    } catch (cause) {
      throw cause instanceof AwsError ? new Undeliverable(cause.message) : cause;
    }
  }
  const permission = { action: 'lambda:InvokeFunction', resource: target.arn };
  const refusal = authorizer.refuses(principal, permission, region);
  if (refusal !== undefined) throw new Undeliverable(refusal);
  try {
    const { functionError, payload } = await context.functions.invoke(target.arn, parsed(input), { region });
    if (!functionError) return;
    const { errorType, errorMessage } = payload as Record<string, unknown>;
    throw new Error(`${errorType}: ${errorMessage}`);
  } catch (cause) {
    throw cause instanceof FunctionNotFound ? new Undeliverable(cause.message) : cause;
  }
}

/** The input with the context attributes filled in that EventBridge Scheduler offers. */
function inputOf(schedule: Schedule, run: { due: number; attempt: number; id: string }): string {
  const time = new Date(run.due).toISOString().replace(/\.\d{3}Z$/, 'Z');
  if (schedule.target.input === undefined) {
    return JSON.stringify({
      version: '0',
      id: randomUUID(),
      'detail-type': 'Scheduled Event',
      source: 'aws.scheduler',
      account: LOCAL_ACCOUNT,
      time,
      region: schedule.region,
      resources: [schedule.arn],
      detail: '{}',
    });
  }
  return schedule.target.input
    .replaceAll('<aws.scheduler.schedule-arn>', schedule.arn)
    .replaceAll('<aws.scheduler.scheduled-time>', time)
    .replaceAll('<aws.scheduler.execution-id>', run.id)
    .replaceAll('<aws.scheduler.attempt-number>', String(run.attempt));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
