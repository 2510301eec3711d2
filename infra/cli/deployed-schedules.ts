import {
  GetScheduleCommand,
  type GetScheduleCommandOutput,
  paginateListSchedules,
  type SchedulerClient,
} from '@aws-sdk/client-scheduler';
import type { AwsClients } from './aws-clients.ts';
import { CommandError } from './errors.ts';
import { schedulePeriod } from './schedule-period.ts';

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
