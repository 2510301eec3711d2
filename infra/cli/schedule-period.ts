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
