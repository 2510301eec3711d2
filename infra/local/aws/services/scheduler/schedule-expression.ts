import { Cron } from 'croner';
import { ResourceFailure } from '../../errors.ts';
import { instantOf, wallTime } from './time-zone.ts';

export type ScheduleExpression =
  | { kind: 'rate'; periodMs: number }
  /** `pattern` is the expression in croner's notation, which begins with seconds. */
  | { kind: 'cron'; pattern: string }
  /** `wall` as in time-zone.ts. */
  | { kind: 'at'; wall: number };

export interface Bounds {
  /** Occurrences are later than this, epoch milliseconds. */
  after: number;
  zone: string;
  /** A rate's first occurrence, epoch milliseconds. */
  firstOfRate: number;
}

const UNIT_MS: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** @throws {ResourceFailure} when EventBridge Scheduler, or this implementation, does not accept such an expression */
export function parseScheduleExpression(text: string): ScheduleExpression {
  const [, kind, body = ''] = /^(rate|cron|at)\((.*)\)$/.exec(text) ?? [];
  if (kind === 'cron') return { kind, pattern: cronPattern(body) };
  if (kind === 'rate') {
    const [, value, unit = ''] = /^([1-9]\d*) (minute|hour|day)s?$/.exec(body) ?? [];
    if (value !== undefined) return { kind, periodMs: Number(value) * UNIT_MS[unit]! };
  }
  if (kind === 'at' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/.test(body)) {
    const wall = Date.parse(`${body}Z`);
    if (!Number.isNaN(wall)) return { kind, wall };
  }
  throw new ResourceFailure(`Invalid Schedule Expression ${text}.`);
}

/** The next due time, in epoch milliseconds; undefined when there is none. */
export function nextDue(
  expression: ScheduleExpression,
  { after, zone, firstOfRate }: Bounds,
): number | undefined {
  switch (expression.kind) {
    case 'rate': {
      const passed = Math.floor((after - firstOfRate) / expression.periodMs) + 1;
      return firstOfRate + Math.max(0, passed) * expression.periodMs;
    }
    case 'cron':
      return nextOccurrence(expression.pattern, after, zone);
    case 'at': {
      const instant = instantOf(expression.wall, zone);
      return instant !== undefined && instant > after ? instant : undefined;
    }
  }
}

const CRON_OPTIONS = {
  mode: '7-part',
  // AWS counts days of the week from 1, Sunday.
  alternativeWeekdays: true,
  // `5/15` continues from 5.
  sloppyRanges: true,
} as const;

/** @throws {ResourceFailure} naming what is wrong */
function cronPattern(text: string): string {
  const wrong = (why: string) => new ResourceFailure(`cron(${text}): ${why}`);
  const fields = text.trim().split(/\s+/);
  const [minutes = '', hours = '', monthDays = '', months = '', weekDays = '', years = ''] = fields;
  if (fields.length !== 6) throw wrong('it needs six fields');
  if ((monthDays === '?') === (weekDays === '?')) {
    throw wrong('it needs ? in either the day of the month or the day of the week');
  }
  // Syntax of croner that AWS does not accept.
  const other = [minutes, hours, months, years].find((field) => field.includes('?'));
  if (other !== undefined) throw wrong(`"${other}" is for days only`);
  if (/(?:^|[-,])[089]/.test(weekDays)) throw wrong('days of the week are 1 to 7');
  if ((years.match(/\d{2,}/g) ?? []).some((year) => Number(year) < 1970 || Number(year) > 2199)) {
    throw wrong('years are 1970 to 2199');
  }
  // Saturday is the last day of the week.
  const lastDay = weekDays === 'L' ? '7' : weekDays;
  const pattern = ['0', minutes, hours, monthDays, months, lastDay, years].join(' ');
  try {
    new Cron(pattern, { ...CRON_OPTIONS, paused: true });
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message : String(cause));
  }
  return pattern;
}

/**
 * EventBridge Scheduler runs a schedule once when clocks show its time twice in autumn, and not at all when they skip
 * it in spring. Croner repeats patterns with wildcards in autumn, and moves skipped times after the gap.
 */
function nextOccurrence(pattern: string, after: number, zone: string): number | undefined {
  const cron = new Cron(pattern, { ...CRON_OPTIONS, timezone: zone, paused: true });
  for (let next = cron.nextRun(new Date(after)); next; next = cron.nextRun(next)) {
    const instant = next.getTime();
    if (instantOf(wallTime(instant, zone), zone) === instant && cron.match(next)) return instant;
  }
  return undefined;
}
