import { randomUUID } from 'node:crypto';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import {
  GetScheduleCommand,
  type GetScheduleCommandOutput,
  paginateListSchedules,
  type SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { StartExecutionCommand } from '@aws-sdk/client-sfn';
import type { AwsClients } from './aws-clients.ts';
import { CommandError } from './errors.ts';

export interface RegionalSchedule {
  schedule: GetScheduleCommandOutput;
  /** Of the schedule's region. */
  clients: AwsClients;
}

/**
 * The schedules that `daily`, `hourly` or a name means, region by region and by name. A period takes enabled ones only.
 * A name may also be whole words of exactly one schedule's name in a region, such as `proxy-auth` of
 * `strata-us-proxy-auth`.
 * @throws {CommandError} when there is none
 */
export async function schedulesFor(
  regions: readonly AwsClients[],
  which: string,
): Promise<RegionalSchedule[]> {
  const found: RegionalSchedule[] = [];
  const names: string[] = [];
  for (const clients of regions) {
    const all = await deployedSchedules(clients.scheduler);
    found.push(...meant(all, which).map((schedule) => ({ schedule, clients })));
    names.push(...all.map(({ Name = '' }) => Name));
  }
  if (found.length > 0) return found;
  if (isPeriod(which)) throw new CommandError(`no enabled schedule is ${which}`);
  const list = names.join(', ');
  throw new CommandError(`there is no schedule "${which}"${list ? `: there are ${list}` : ''}`);
}

/** By name. */
async function deployedSchedules(scheduler: SchedulerClient): Promise<GetScheduleCommandOutput[]> {
  const all: GetScheduleCommandOutput[] = [];
  for await (const { Schedules = [] } of paginateListSchedules({ client: scheduler }, {})) {
    for (const { Name, GroupName } of Schedules) {
      all.push(await scheduler.send(new GetScheduleCommand({ Name, GroupName })));
    }
  }
  return all.sort((a, b) => (a.Name! < b.Name! ? -1 : 1));
}

/** @throws {CommandError} when a name means more than one */
function meant(all: GetScheduleCommandOutput[], which: string): GetScheduleCommandOutput[] {
  if (isPeriod(which)) {
    return all.filter(
      ({ State, ScheduleExpression }) =>
        State === 'ENABLED' && schedulePeriod(ScheduleExpression ?? '') === which,
    );
  }
  const exact = all.filter(({ Name }) => Name === which);
  if (exact.length > 0) return exact;
  const similar = all.filter(({ Name }) => `-${Name}-`.toLowerCase().includes(`-${which.toLowerCase()}-`));
  if (similar.length <= 1) return similar;
  const names = similar.map(({ Name }) => Name).join(', ');
  throw new CommandError(`"${which}" names more than one schedule: ${names}`);
}

function isPeriod(which: string): which is 'daily' | 'hourly' {
  return which === 'daily' || which === 'hourly';
}

/** How often a schedule runs, as far as the command line tells schedules apart. */
export type SchedulePeriod = 'daily' | 'hourly' | 'other';

const MINUTES: Record<string, number> = { minute: 1, hour: 60, day: 1_440 };

/** Reads an expression of EventBridge Scheduler; whatever is no day and no hour is `other`. */
export function schedulePeriod(expression: string): SchedulePeriod {
  const [, count, unit = ''] = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(expression) ?? [];
  if (count !== undefined) {
    const minutes = Number(count) * MINUTES[unit]!;
    return minutes === 1_440 ? 'daily' : minutes === 60 ? 'hourly' : 'other';
  }
  const [, fields = ''] = /^cron\((.*)\)$/.exec(expression) ?? [];
  const [minute = '', hour = '', ...days] = fields.trim().split(/\s+/);
  const everyDay = days.length === 4 && days.every((field) => field === '*' || field === '?');
  if (!everyDay || !/^\d+$/.test(minute)) return 'other';
  if (/^\d+$/.test(hour)) return 'daily';
  return hour === '*' ? 'hourly' : 'other';
}

/**
 * Runs a schedule's target now with the schedule's input, with the caller's own rights: a function is awaited, an
 * execution only started.
 * @returns what came of it, in a few words
 * @throws {CommandError} when the function failed
 */
export async function runSchedule(
  schedule: GetScheduleCommandOutput,
  { lambda, states }: AwsClients,
): Promise<string> {
  const arn = schedule.Target?.Arn ?? '';
  const input = inputOf(schedule);
  if (arn.startsWith('arn:aws:states:')) {
    const { executionArn } = await states.send(new StartExecutionCommand({ stateMachineArn: arn, input }));
    return `started ${executionArn}`;
  }
  if (!arn.startsWith('arn:aws:lambda:')) throw new CommandError(`cannot run ${arn}`);
  const { FunctionError, Payload } = await lambda.send(
    new InvokeCommand({ FunctionName: arn, Payload: input }),
  );
  const text = Payload ? Buffer.from(Payload).toString('utf8') : '';
  if (!FunctionError) return text === '' || text === 'null' ? 'done' : `answered ${shortened(text)}`;
  const { errorType = FunctionError, errorMessage = '' } = JSON.parse(text || '{}') as Record<string, string>;
  throw new CommandError(`${errorType}: ${errorMessage}`);
}

/** With the context attributes of EventBridge Scheduler filled in. */
function inputOf({ Arn = '', Target }: GetScheduleCommandOutput): string {
  return (Target?.Input ?? '{}')
    .replaceAll('<aws.scheduler.schedule-arn>', Arn)
    .replaceAll('<aws.scheduler.scheduled-time>', new Date().toISOString().replace(/\.\d{3}Z$/, 'Z'))
    .replaceAll('<aws.scheduler.execution-id>', randomUUID())
    .replaceAll('<aws.scheduler.attempt-number>', '1');
}

function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 199)}…`;
}
