import { describe, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';

const { matchesPattern, parsePattern } = await internals();

describe('patterns', () => {
  const event = {
    source: 'aws.states',
    resources: ['a', 'b'],
    detail: { status: 'FAILED', count: 1, none: null },
  };
  test.each([
    [{ source: ['aws.states'] }, true],
    [{ source: ['aws.ec2', 'aws.states'] }, true],
    [{ source: ['aws.ec2'] }, false],
    [{ source: [{ prefix: 'aws.' }] }, true],
    [{ source: [{ prefix: 'ws.' }] }, false],
    [{ resources: ['b'] }, true],
    [{ resources: ['c'] }, false],
    [{ detail: { status: ['FAILED'], count: [1] } }, true],
    [{ detail: { status: ['FAILED'], count: ['1'] } }, false],
    [{ detail: { none: [null] } }, true],
    [{ detail: { missing: [null] } }, false],
    [{ detail: { status: { deeper: ['FAILED'] } } }, false],
    [{ source: ['aws.states'], detail: { status: ['ABORTED'] } }, false],
  ])('%j', (pattern, expected) => {
    expect(matchesPattern(parsePattern(pattern), event)).toBe(expected);
  });

  test.each([
    {},
    { source: [] },
    { source: 'aws.states' },
    { source: [{ 'anything-but': ['x'] }] },
    { detail: {} },
  ])('%j is refused', (pattern) => {
    expect(() => parsePattern(pattern)).toThrow(/^EventPattern/);
  });
});
