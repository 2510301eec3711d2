/**
 * The deployed schedules, and in a document of the state directory what must outlive a restart: since when a rate
 * counts and which due time ran last. The latter is durable before the target runs, so a killed platform may lose a
 * run but never repeats one.
 */
import { createHash } from 'node:crypto';
import type { StateFile } from '../../../model.ts';
import { nextDue, type ScheduleExpression } from './schedule-expression.ts';
import type { ScheduleTarget } from './schedule-target.ts';

export interface ScheduleDefinition {
  arn: string;
  name: string;
  groupName: string;
  region: string;
  description: string | undefined;
  expressionText: string;
  expression: ScheduleExpression;
  timeZone: string;
  enabled: boolean;
  /** Epoch milliseconds. */
  startDate: number | undefined;
  endDate: number | undefined;
  target: ScheduleTarget;
  /** As the template gives it; the earliest moment of the window is taken. */
  flexibleTimeWindow: unknown;
}

export interface Schedule extends ScheduleDefinition {
  creationDate: number;
  modificationDate: number;
  /** Since when its expression has been what it is. */
  countedFrom: number;
}

interface Kept {
  creationDate: number;
  modificationDate: number;
  countedFrom: number;
  timing: string;
  fingerprint: string;
  lastDue?: number;
}

const DOCUMENT = 'schedules';

export class Schedules {
  readonly #state: StateFile;
  readonly #kept: Record<string, Kept>;
  readonly #schedules = new Map<string, Schedule>();

  constructor(state: StateFile) {
    this.#state = state;
    this.#kept = state.load<Record<string, Kept>>(DOCUMENT, {});
  }

  /** Adds a schedule, or finds it again; a changed expression counts from `now`. */
  put(definition: ScheduleDefinition, now: number): Schedule {
    const timing = JSON.stringify([definition.expressionText, definition.timeZone, definition.startDate]);
    const fingerprint = createHash('sha256').update(JSON.stringify(definition)).digest('hex');
    const before = this.#kept[definition.arn];
    if (before?.fingerprint !== fingerprint) {
      this.#kept[definition.arn] = {
        ...before,
        creationDate: before?.creationDate ?? now,
        modificationDate: now,
        countedFrom: before?.timing === timing ? before.countedFrom : now,
        timing,
        fingerprint,
      };
      this.#save();
    }
    const { creationDate, modificationDate, countedFrom } = this.#kept[definition.arn]!;
    const schedule: Schedule = { ...definition, creationDate, modificationDate, countedFrom };
    this.#schedules.set(definition.arn, schedule);
    return schedule;
  }

  remove(arn: string): void {
    this.#schedules.delete(arn);
    delete this.#kept[arn];
    this.#save();
  }

  get(arn: string): Schedule | undefined {
    return this.#schedules.get(arn);
  }

  /** By group and name, as the API lists them. */
  all(): Schedule[] {
    return [...this.#schedules.values()].sort((a, b) => (a.arn < b.arn ? -1 : 1));
  }

  /** The first due time later than `now` and than what ran last; undefined when it is never due again. */
  next(schedule: Schedule, now: number): number | undefined {
    if (!schedule.enabled) return undefined;
    const { expression, timeZone: zone, startDate, endDate, countedFrom } = schedule;
    const period = expression.kind === 'rate' ? expression.periodMs : 0;
    const lastDue = this.#kept[schedule.arn]?.lastDue ?? Number.NEGATIVE_INFINITY;
    // A due time that is the start date itself counts.
    const after = Math.max(now, lastDue, (startDate ?? Number.NEGATIVE_INFINITY) - 1);
    const due = nextDue(expression, { after, zone, firstOfRate: startDate ?? countedFrom + period });
    return due !== undefined && due <= (endDate ?? Number.POSITIVE_INFINITY) ? due : undefined;
  }

  /** Durable before it returns. */
  ran(schedule: Schedule, due: number): void {
    const kept = this.#kept[schedule.arn];
    if (kept) kept.lastDue = due;
    this.#save();
  }

  #save(): void {
    this.#state.save(DOCUMENT, this.#kept);
  }
}
