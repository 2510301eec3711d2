import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { internals, type ScheduleDefinition, type ScheduleRun, stateFile } from '../../infra/local/index.ts';

const { parseScheduleExpression, ScheduleRunner, Schedules } = await internals();
type ScheduleRunner = InstanceType<typeof ScheduleRunner>;

const MINUTE = 60_000;
const START = Date.parse('2026-05-01T00:00:00Z');
let directory: string;
let ran: { minute: number; attempt: number }[];
let log: string[];
/** What a run does, given its attempt. */
let outcome: (run: ScheduleRun) => Promise<void>;
const started: ScheduleRunner[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'strata-schedules-'));
  ran = [];
  log = [];
  outcome = async () => {};
});
afterEach(() => {
  for (const runner of started.splice(0)) runner.stop();
  rmSync(directory, { recursive: true, force: true });
});

function schedule(expressionText: string, change: Partial<ScheduleDefinition> = {}): ScheduleDefinition {
  return {
    arn: 'arn:aws:scheduler:us-east-1:000000000000:schedule/default/one',
    name: 'one',
    groupName: 'default',
    region: 'us-east-1',
    description: undefined,
    expressionText,
    expression: parseScheduleExpression(expressionText),
    timeZone: 'UTC',
    enabled: true,
    startDate: undefined,
    endDate: undefined,
    target: { arn: 'x', roleArn: 'y', input: undefined, retries: 0, maximumEventAgeSeconds: 60 },
    flexibleTimeWindow: { Mode: 'OFF' },
    ...change,
  };
}

/** A start of the platform at that minute: a new runner on the same state. */
function startAt(minute: number, ...definitions: ScheduleDefinition[]): ScheduleRunner {
  const now = START + minute * MINUTE;
  const runner = new ScheduleRunner({
    schedules: new Schedules(stateFile(directory)),
    waitScale: 0,
    async run(_schedule, run) {
      ran.push({ minute: (run.due - START) / MINUTE, attempt: run.attempt });
      await outcome(run);
    },
    log: (line) => log.push(line),
  });
  for (const definition of definitions) runner.put(definition, now);
  runner.start(now);
  started.push(runner);
  return runner;
}

const look = async (runner: ScheduleRunner, ...minutes: number[]) => {
  for (const minute of minutes) await runner.runDue(START + minute * MINUTE);
  return ran.map(({ minute }) => minute);
};

describe('a schedule', () => {
  test('runs once at each due time, and once for all of those it slept through', async () => {
    const runner = startAt(0, schedule('rate(10 minutes)'));
    expect(await look(runner, 9, 10, 10, 15, 20)).toEqual([10, 20]);
    expect(await look(runner, 55, 60)).toEqual([10, 20, 30, 60]);
  });

  test('goes on after a restart where it was: no run again, no new count, nothing missed made up', async () => {
    const first = startAt(0, schedule('rate(10 minutes)'));
    await look(first, 10);
    first.stop();
    const second = startAt(10, schedule('rate(10 minutes)'));
    expect(await look(second, 10, 19, 20)).toEqual([10, 20]);
    second.stop();
    const third = startAt(47, schedule('rate(10 minutes)'));
    expect(await look(third, 47, 49, 50)).toEqual([10, 20, 50]);
  });

  test('does not run what already ran when the clock was set back', async () => {
    await look(startAt(0, schedule('cron(30 * * * ? *)')), 30);
    expect(await look(startAt(29, schedule('cron(30 * * * ? *)')), 30, 90)).toEqual([30, 90]);
  });

  test('counts anew when its expression changes, and only then', async () => {
    startAt(0, schedule('rate(10 minutes)')).stop();
    const described = startAt(5, schedule('rate(10 minutes)', { description: 'other' }));
    expect(await look(described, 10)).toEqual([10]);
    expect(await look(startAt(12, schedule('rate(7 minutes)')), 18, 19)).toEqual([10, 19]);
  });

  test('keeps to its start and end', async () => {
    const bounds = { startDate: START + 25 * MINUTE, endDate: START + 45 * MINUTE };
    const runner = startAt(0, schedule('rate(10 minutes)', bounds));
    expect(await look(runner, 10, 24, 25, 35, 45, 55, 65)).toEqual([25, 35, 45]);
  });

  test('that is disabled never runs', async () => {
    expect(await look(startAt(0, schedule('rate(1 minute)', { enabled: false })), 1, 2)).toEqual([]);
  });

  test('that is removed does not run any more', async () => {
    const runner = startAt(0, schedule('rate(1 minute)'));
    await look(runner, 1);
    runner.remove(schedule('rate(1 minute)').arn);
    expect(await look(runner, 2)).toEqual([1]);
  });

  test('is retried as often as its policy says, then told of', async () => {
    outcome = async () => {
      throw new Error('no luck');
    };
    const target = { ...schedule('rate(1 minute)').target, retries: 2 };
    await look(startAt(0, schedule('rate(1 minute)', { target })), 1);
    expect(ran.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(log).toEqual(['schedule one: no luck']);
  });

  test('that succeeds is not tried again', async () => {
    outcome = async ({ attempt }) => {
      if (attempt === 1) throw new Error('no luck');
    };
    const target = { ...schedule('rate(1 minute)').target, retries: 5 };
    await look(startAt(0, schedule('rate(1 minute)', { target })), 1);
    expect(ran.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(log).toEqual([]);
  });
});
