import { ResourceFailure } from '../../errors.ts';
import { type CronExpression, nextOccurrence, parseCron } from './cron-expression.ts';
import { instantOf } from './time-zone.ts';

export type ScheduleExpression =
  | { kind: 'rate'; periodMs: number }
  | { kind: 'cron'; cron: CronExpression }
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

/** @throws {ResourceFailure} when EventBridge Scheduler, or this implementation of it, takes no such expression */
export function parseScheduleExpression(text: string): ScheduleExpression {
  const [, kind, body = ''] = /^(rate|cron|at)\((.*)\)$/.exec(text) ?? [];
  if (kind === 'cron') return { kind, cron: parseCron(body) };
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

/** When it is due next, in epoch milliseconds; undefined when it never is again. */
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
      return nextOccurrence(expression.cron, after, zone);
    case 'at': {
      const instant = instantOf(expression.wall, zone);
      return instant !== undefined && instant > after ? instant : undefined;
    }
  }
}
