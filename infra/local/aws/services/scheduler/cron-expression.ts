import { ResourceFailure } from '../../errors.ts';
import { instantOf, wallTime } from './time-zone.ts';

/**
 * A cron expression of EventBridge: minutes, hours, day of month, month, day of week, year. Exactly one of the two
 * days is `?`. `L`, `W` and `#` are not understood.
 */
export interface CronExpression {
  minutes: number[];
  hours: number[];
  /** Undefined where the day of the week decides. */
  monthDays: number[] | undefined;
  months: number[];
  /** 1 is Sunday. Undefined where the day of the month decides. */
  weekDays: number[] | undefined;
  years: number[];
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEK_DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];
const DAY = 86_400_000;
/** Clocks are never set back by more. */
const LONGEST_STEP_BACK = 4 * 3_600_000;
/** February 29 comes again after at most eight years. */
const LONGEST_GAP_DAYS = 8 * 366 + 1;

/** @throws {ResourceFailure} with the field that is wrong */
export function parseCron(text: string): CronExpression {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 6) throw new ResourceFailure(`cron(${text}) needs six fields`);
  const [minutes, hours, monthDays, months, weekDays, years] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if ((monthDays === '?') === (weekDays === '?')) {
    throw new ResourceFailure(`cron(${text}) needs ? in either the day of the month or the day of the week`);
  }
  return {
    minutes: valuesOf('minutes', minutes, 0, 59),
    hours: valuesOf('hours', hours, 0, 23),
    monthDays: monthDays === '?' ? undefined : valuesOf('day of month', monthDays, 1, 31),
    months: valuesOf('month', months, 1, 12, MONTHS),
    weekDays: weekDays === '?' ? undefined : valuesOf('day of week', weekDays, 1, 7, WEEK_DAYS),
    years: valuesOf('year', years, 1970, 2199),
  };
}

/** The first instant after `after` that the expression names in that zone; undefined when there is none. */
export function nextOccurrence(cron: CronExpression, after: number, zone: string): number | undefined {
  const now = wallTime(after, zone);
  const lastYear = cron.years.at(-1)!;
  let day = Math.floor((now - LONGEST_STEP_BACK) / DAY) * DAY;
  const firstYear = cron.years.find((year) => year >= new Date(day).getUTCFullYear());
  if (firstYear !== undefined) day = Math.max(day, Date.UTC(firstYear, 0, 1));
  for (let count = 0; count < LONGEST_GAP_DAYS; count += 1, day += DAY) {
    if (new Date(day).getUTCFullYear() > lastYear) return undefined;
    if (!namesDay(cron, new Date(day))) continue;
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        const wall = day + (hour * 60 + minute) * 60_000;
        if (wall < now - LONGEST_STEP_BACK) continue;
        const instant = instantOf(wall, zone);
        if (instant !== undefined && instant > after) return instant;
      }
    }
  }
  return undefined;
}

function namesDay(cron: CronExpression, day: Date): boolean {
  return (
    cron.years.includes(day.getUTCFullYear()) &&
    cron.months.includes(day.getUTCMonth() + 1) &&
    (cron.monthDays?.includes(day.getUTCDate()) ?? true) &&
    (cron.weekDays?.includes(day.getUTCDay() + 1) ?? true)
  );
}

/** The values of one field in ascending order. Lists of `*`, `5`, `MON`, `1-5`, each also with a step `/15`. */
function valuesOf(name: string, field: string, low: number, high: number, names: string[] = []): number[] {
  const wrong = (): ResourceFailure => new ResourceFailure(`cron: "${field}" is no ${name} understood here`);
  const number = (text: string): number => {
    const named = names.indexOf(text.toUpperCase());
    const value = named >= 0 ? named + low : /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= low && value <= high)) throw wrong();
    return value;
  };
  const values = new Set<number>();
  for (const item of field.split(',')) {
    const [range = '', step, ...rest] = item.split('/');
    const every = step === undefined ? 1 : /^\d+$/.test(step) ? Number(step) : 0;
    if (every < 1 || rest.length > 0) throw wrong();
    const [from = '', to, ...more] = range.split('-');
    if (more.length > 0) throw wrong();
    const first = range === '*' ? low : number(from);
    // `5/15` goes on from 5; a lone `5` is only 5.
    const last = to !== undefined ? number(to) : range === '*' || step !== undefined ? high : first;
    if (last < first) throw wrong();
    for (let value = first; value <= last; value += every) values.add(value);
  }
  return [...values].sort((a, b) => a - b);
}
