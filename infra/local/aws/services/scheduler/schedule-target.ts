import { randomUUID } from 'node:crypto';
import { LOCAL_ACCOUNT, type Properties } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { checkTarget } from '../../targets.ts';

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

/** @throws {ResourceFailure} for a target that is not supported here */
export function readTarget(properties: Properties): ScheduleTarget {
  const arn = String(properties.Arn);
  checkTarget(arn, 'schedules');
  const input = properties.Input as string | undefined;
  if (input !== undefined) checkInput(input);
  const policy = (properties.RetryPolicy ?? {}) as Record<string, unknown>;
  return {
    arn,
    roleArn: String(properties.RoleArn),
    input,
    retries: Number(policy.MaximumRetryAttempts ?? DEFAULT_RETRIES),
    maximumEventAgeSeconds: Number(policy.MaximumEventAgeInSeconds ?? 86_400),
  };
}

/** The input with EventBridge Scheduler's context attributes filled in. */
export function inputOf(
  schedule: { readonly arn: string; readonly region: string; readonly target: ScheduleTarget },
  run: { due: number; attempt: number; id: string },
): string {
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

function checkInput(text: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw new ResourceFailure('the Input of a target must be JSON');
  }
}
