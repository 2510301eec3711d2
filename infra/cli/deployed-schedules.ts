import {
  GetScheduleCommand,
  type GetScheduleCommandOutput,
  paginateListSchedules,
  type SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { CommandError } from './errors.ts';
import { schedulePeriod } from './schedule-period.ts';

/**
 * The schedules that `daily`, `hourly` or a name means, by name. A period takes enabled ones only. A name may also be
 * a part of exactly one schedule's name: CloudFormation adds to the names it makes.
 * @throws {CommandError} when there is none
 */
export async function schedulesFor(
  scheduler: SchedulerClient,
  which: string,
): Promise<GetScheduleCommandOutput[]> {
  const all: GetScheduleCommandOutput[] = [];
  for await (const { Schedules = [] } of paginateListSchedules({ client: scheduler }, {})) {
    for (const { Name, GroupName } of Schedules) {
      all.push(await scheduler.send(new GetScheduleCommand({ Name, GroupName })));
    }
  }
  all.sort((a, b) => (a.Name! < b.Name! ? -1 : 1));
  if (which === 'daily' || which === 'hourly') {
    const due = all.filter(
      ({ State, ScheduleExpression }) =>
        State === 'ENABLED' && schedulePeriod(ScheduleExpression ?? '') === which,
    );
    if (due.length === 0) throw new CommandError(`no enabled schedule is ${which}`);
    return due;
  }
  const exact = all.filter(({ Name }) => Name === which);
  if (exact.length > 0) return exact;
  const similar = all.filter(({ Name }) => Name!.toLowerCase().includes(which.toLowerCase()));
  if (similar.length === 1) return similar;
  const names = (similar.length > 1 ? similar : all).map(({ Name }) => Name).join(', ');
  if (similar.length > 1) throw new CommandError(`"${which}" names more than one schedule: ${names}`);
  throw new CommandError(`there is no schedule "${which}"${names ? `: there are ${names}` : ''}`);
}
