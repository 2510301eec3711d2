import { describe, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';

const { nextDue, parseScheduleExpression } = await internals();

/** The next `count` due times after `after`, as ISO text without milliseconds. */
function dueTimes(text: string, after: string, count: number, zone = 'UTC', firstOfRate = after): string[] {
  const expression = parseScheduleExpression(text);
  const times: string[] = [];
  let last = Date.parse(after);
  while (times.length < count) {
    const due = nextDue(expression, { after: last, zone, firstOfRate: Date.parse(firstOfRate) });
    if (due === undefined) break;
    times.push(new Date(due).toISOString().slice(0, 16));
    last = due;
  }
  return times;
}

describe('rate', () => {
  test('counts from its first occurrence and keeps its phase however late it is asked', () => {
    const first = '2026-03-01T00:10:00Z';
    expect(dueTimes('rate(15 minutes)', '2026-03-01T00:00:00Z', 2, 'UTC', first)).toEqual([
      '2026-03-01T00:10',
      '2026-03-01T00:25',
    ]);
    expect(dueTimes('rate(15 minutes)', '2026-03-05T11:59:59Z', 2, 'UTC', first)).toEqual([
      '2026-03-05T12:10',
      '2026-03-05T12:25',
    ]);
    expect(dueTimes('rate(1 day)', '2026-03-05T00:10:00Z', 1, 'UTC', first)).toEqual(['2026-03-06T00:10']);
  });
});

describe('cron', () => {
  test.each([
    ['0 2 * * ? *', '2026-01-31T02:00:00Z', ['2026-02-01T02:00', '2026-02-02T02:00']],
    [
      '0/20 9-10 ? * MON-FRI *',
      '2026-05-15T10:30:00Z',
      ['2026-05-15T10:40', '2026-05-18T09:00', '2026-05-18T09:20'],
    ],
    ['*/30 * * * ? *', '2026-05-15T10:30:00Z', ['2026-05-15T11:00', '2026-05-15T11:30']],
    ['15,45 0 1,15 * ? *', '2026-05-15T00:20:00Z', ['2026-05-15T00:45', '2026-06-01T00:15']],
    ['0 12 ? * 1,SAT *', '2026-05-15T00:00:00Z', ['2026-05-16T12:00', '2026-05-17T12:00']],
    ['0 0 29 FEB ? *', '2026-03-01T00:00:00Z', ['2028-02-29T00:00', '2032-02-29T00:00']],
    ['0 0 1 1 ? 2027-2028', '2026-03-01T00:00:00Z', ['2027-01-01T00:00', '2028-01-01T00:00']],
    ['0 0 30 2 ? *', '2026-03-01T00:00:00Z', []],
    ['0 2 L * ? *', '2026-02-01T02:00:00Z', ['2026-02-28T02:00', '2026-03-31T02:00']],
    ['0 2 15W * ? *', '2026-02-01T02:00:00Z', ['2026-02-16T02:00', '2026-03-16T02:00']],
    ['0 2 ? * 2#1 *', '2026-02-01T02:00:00Z', ['2026-02-02T02:00', '2026-03-02T02:00']],
    ['0 2 ? * 6L *', '2026-02-01T02:00:00Z', ['2026-02-27T02:00', '2026-03-27T02:00']],
    ['0 2 ? * L *', '2026-02-01T02:00:00Z', ['2026-02-07T02:00', '2026-02-14T02:00']],
    ['0 2 1 1 ? 2027/2', '2026-02-01T02:00:00Z', ['2027-01-01T02:00', '2029-01-01T02:00']],
  ])('%s after %s', (fields, after, expected) => {
    expect(dueTimes(`cron(${fields})`, after, expected.length || 1)).toEqual(expected);
  });

  test('follows the clocks of its time zone: nothing at a skipped time, once at a repeated one', () => {
    const zone = 'Europe/Berlin';
    expect(dueTimes('cron(30 2 * * ? *)', '2026-03-28T00:00:00Z', 3, zone)).toEqual([
      '2026-03-28T01:30',
      // 02:30 on the 29th does not exist.
      '2026-03-30T00:30',
      '2026-03-31T00:30',
    ]);
    expect(dueTimes('cron(30 2 * * ? *)', '2026-10-24T00:00:00Z', 3, zone)).toEqual([
      '2026-10-24T00:30',
      // 02:30 on the 25th comes at 00:30 and again at 01:30 UTC.
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
    // Hourly, too: 02:00 comes at 00:00 and again at 01:00 UTC.
    expect(dueTimes('cron(0 * * * ? *)', '2026-10-24T23:00:00Z', 2, zone)).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T02:00',
    ]);
  });
});

test('at runs once, at that time of its zone', () => {
  expect(dueTimes('at(2026-07-01T09:00:00)', '2026-01-01T00:00:00Z', 2)).toEqual(['2026-07-01T09:00']);
  expect(dueTimes('at(2026-07-01T09:00:00)', '2026-01-01T00:00:00Z', 2, 'America/New_York')).toEqual([
    '2026-07-01T13:00',
  ]);
  expect(dueTimes('at(2026-07-01T09:00:00)', '2026-07-01T09:00:00Z', 1)).toEqual([]);
});

test.each([
  'rate(0 minutes)',
  'rate(5 seconds)',
  'rate(5)',
  'at(tomorrow)',
  'at(2026-13-01T00:00:00)',
  'cron(0 2 * * ?)',
  'cron(0 2 * * * *)',
  'cron(0 2 ? * ? *)',
  'cron(60 2 * * ? *)',
  'cron(? 2 * * ? *)',
  'cron(0 2 32 * ? *)',
  'cron(0 2 ? * 2#6 *)',
  'cron(0 2 ? * 0 *)',
  'cron(0 2 ? * 8 *)',
  'cron(0 2 * * ? 1969)',
  'cron(0 2 * * ? 2026-2200)',
  'cron(5-1 2 * * ? *)',
  'cron(0/0 2 * * ? *)',
  'every day',
])('%s is refused', (text) => {
  expect(() => parseScheduleExpression(text)).toThrow(/^(Invalid Schedule Expression|cron\(.*\): )/);
});
