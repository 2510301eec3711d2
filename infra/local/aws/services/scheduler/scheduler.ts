import { LOCAL_ACCOUNT } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { Route } from '../../protocols/json.ts';
import type { AwsService, Call, ServiceModule } from '../../service.ts';
import { scheduleResources } from './schedule-resources.ts';
import type { ScheduleRunner } from './schedule-runner.ts';
import type { Schedule, Schedules } from './schedules.ts';

/** Operations of AWS that are refused with a message here: schedules come from templates only. */
const NOT_OFFERED: Route[] = [
  { method: 'POST', path: /^\/schedules\/[^/]+$/, operation: 'CreateSchedule' },
  { method: 'PUT', path: /^\/schedules\/[^/]+$/, operation: 'UpdateSchedule' },
  { method: 'DELETE', path: /^\/schedules\/[^/]+$/, operation: 'DeleteSchedule' },
  { method: 'GET', path: /^\/schedule-groups$/, operation: 'ListScheduleGroups' },
  { method: 'GET', path: /^\/schedule-groups\/[^/]+$/, operation: 'GetScheduleGroup' },
  { method: 'POST', path: /^\/schedule-groups\/[^/]+$/, operation: 'CreateScheduleGroup' },
  { method: 'DELETE', path: /^\/schedule-groups\/[^/]+$/, operation: 'DeleteScheduleGroup' },
  { method: 'GET', path: /^\/tags\/.+$/, operation: 'ListTagsForResource' },
];

/** EventBridge Scheduler: schedules of templates, which clients can only read. */
export function scheduler(schedules: Schedules, runner: ScheduleRunner): ServiceModule {
  return {
    service: wire(schedules),
    resources: scheduleResources(runner),
    resume: () => runner.start(),
    stop: () => runner.stop(),
  };
}

function wire(schedules: Schedules): AwsService {
  return {
    signingNames: ['scheduler'],
    prefix: 'scheduler',
    protocol: {
      kind: 'rest-json',
      routes: [
        {
          method: 'GET',
          path: /^\/schedules$/,
          operation: 'ListSchedules',
          query: ['NamePrefix', 'ScheduleGroup', 'State', 'MaxResults', 'NextToken'],
        },
        {
          method: 'GET',
          path: /^\/schedules\/([^/]+)$/,
          operation: 'GetSchedule',
          parameters: ['Name'],
          query: ['groupName'],
        },
        ...NOT_OFFERED,
      ],
    },
    accessDenied: { code: 'AccessDeniedException', status: 403 },
    operations: {
      ListSchedules: {
        permissions: () => [{ action: 'scheduler:ListSchedules', resource: '*' }],
        run: (input, call) => listSchedules(schedules, input, call),
      },
      GetSchedule: {
        permissions: (input, call) => [{ action: 'scheduler:GetSchedule', resource: arnOf(input, call) }],
        run(input, call) {
          const schedule = schedules.get(arnOf(input, call));
          if (schedule) return description(schedule);
          throw new AwsError('ResourceNotFoundException', `Schedule ${input.text('Name')} does not exist.`, {
            status: 404,
            detail: { Message: `Schedule ${input.text('Name')} does not exist.` },
          });
        },
      },
    },
  };
}

function arnOf(input: Input, call: Call): string {
  const group = input.text('groupName') ?? 'default';
  return `arn:aws:scheduler:${call.region}:${LOCAL_ACCOUNT}:schedule/${group}/${input.required('Name')}`;
}

function listSchedules(schedules: Schedules, input: Input, call: Call): unknown {
  const prefix = input.text('NamePrefix') ?? '';
  const group = input.text('ScheduleGroup');
  const state = input.text('State');
  const size = input.integer('MaxResults') ?? 100;
  if (size < 1 || size > 100) throw invalid(`MaxResults must be between 1 and 100, not ${size}`);
  if (state !== undefined && !['ENABLED', 'DISABLED'].includes(state)) {
    throw invalid(`State must be ENABLED or DISABLED, not ${state}`);
  }
  const token = input.text('NextToken');
  const start = token === undefined ? 0 : Number(Buffer.from(token, 'base64url').toString());
  if (!Number.isInteger(start) || start < 0) throw invalid('Invalid NextToken');
  const found = schedules
    .all()
    .filter(
      (schedule) =>
        schedule.region === call.region &&
        schedule.name.startsWith(prefix) &&
        (group === undefined || schedule.groupName === group) &&
        (state === undefined || stateOf(schedule) === state),
    );
  const next = start + size;
  return {
    Schedules: found.slice(start, next).map((schedule) => ({
      ...summary(schedule),
      Target: { Arn: schedule.target.arn },
    })),
    NextToken: next < found.length ? Buffer.from(String(next)).toString('base64url') : undefined,
  };
}

function invalid(message: string): AwsError {
  return new AwsError('ValidationException', message, { detail: { Message: message } });
}

function stateOf(schedule: Schedule): 'ENABLED' | 'DISABLED' {
  return schedule.enabled ? 'ENABLED' : 'DISABLED';
}

function summary(schedule: Schedule): Record<string, unknown> {
  return {
    Arn: schedule.arn,
    Name: schedule.name,
    GroupName: schedule.groupName,
    State: stateOf(schedule),
    CreationDate: new Date(schedule.creationDate),
    LastModificationDate: new Date(schedule.modificationDate),
  };
}

function description(schedule: Schedule): Record<string, unknown> {
  const { target, startDate, endDate } = schedule;
  return {
    ...summary(schedule),
    Description: schedule.description,
    ScheduleExpression: schedule.expressionText,
    ScheduleExpressionTimezone: schedule.timeZone,
    ...(startDate === undefined ? {} : { StartDate: new Date(startDate) }),
    ...(endDate === undefined ? {} : { EndDate: new Date(endDate) }),
    FlexibleTimeWindow: schedule.flexibleTimeWindow,
    ActionAfterCompletion: 'NONE',
    Target: {
      Arn: target.arn,
      RoleArn: target.roleArn,
      Input: target.input,
      RetryPolicy: {
        MaximumRetryAttempts: target.retries,
        MaximumEventAgeInSeconds: target.maximumEventAgeSeconds,
      },
    },
  };
}
