import { expect, test } from 'vitest';
import { nextBaseline, type QueryBaseline } from '../../functions/alerts/slow-queries.ts';
import { THRESHOLDS } from '../../functions/alerts/thresholds.ts';

const HOUR = 3_600_000;

/** Windows of a statement, five minutes apart: calls and mean time in milliseconds. */
class Statement {
  baseline: QueryBaseline | undefined;
  #calls = 0;
  #totalMs = 0;
  #now = 0;

  /** @returns whether it counts as degraded afterwards. */
  window(calls: number, meanMs: number, after = 300_000): boolean {
    this.#calls += calls;
    this.#totalMs += calls * meanMs;
    return this.#observe(after);
  }

  reset(calls: number, meanMs: number): boolean {
    this.#calls = calls;
    this.#totalMs = calls * meanMs;
    return this.#observe(300_000);
  }

  #observe(after: number): boolean {
    this.#now += after;
    const observed = { role: 'r', queryId: '1', text: 'select', calls: this.#calls, totalMs: this.#totalMs };
    this.baseline = nextBaseline(this.baseline, observed, THRESHOLDS, this.#now);
    return this.baseline.degradedSince !== null;
  }
}

function usual(meanMs: number): Statement {
  const statement = new Statement();
  for (let n = 0; n < 3; n++) expect(statement.window(100, meanMs)).toBe(false);
  return statement;
}

test('three times its usual time is degraded, below twice of it is not', () => {
  const statement = usual(30);
  expect(statement.window(50, 89)).toBe(false);
  const other = usual(30);
  expect(other.window(50, 91)).toBe(true);
  expect(other.window(50, 61)).toBe(true);
  expect(other.window(50, 59)).toBe(false);
});

test('a fast statement never is, and neither is a rare one', () => {
  expect(usual(1).window(50, 49)).toBe(false);
  const rare = new Statement();
  expect(rare.window(20, 10)).toBe(false);
  expect(rare.window(20, 1_000)).toBe(false);
});

test('few calls are added to the next window', () => {
  const statement = usual(30);
  expect(statement.window(10, 200)).toBe(false);
  expect(statement.window(10, 200)).toBe(true);
});

test('a degraded window does not become usual before a day has passed, and then it does', () => {
  const statement = usual(30);
  for (let hours = 0; hours < 24; hours++) expect(statement.window(1_000, 100, HOUR)).toBe(true);
  expect(statement.window(1_000, 100, HOUR)).toBe(false);
  expect(statement.window(1_000, 100, HOUR)).toBe(false);
});

test('a degraded statement that is no longer run is not', () => {
  const statement = usual(30);
  expect(statement.window(50, 100)).toBe(true);
  expect(statement.window(1, 100)).toBe(true);
  expect(statement.window(0, 0, HOUR)).toBe(false);
});

test('counters that were reset are a window of their own', () => {
  const statement = usual(30);
  expect(statement.reset(50, 30)).toBe(false);
  expect(statement.reset(40, 100)).toBe(true);
});

test('slow change is followed: the usual time forgets', () => {
  const statement = usual(30);
  let mean = 30;
  for (let days = 0; days < 20; days++) {
    mean *= 1.3;
    expect(statement.window(5_000, mean, 24 * HOUR)).toBe(false);
  }
});
