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
    [{ detail: { status: [{ exists: true }] } }, true],
    [{ detail: { status: [{ exists: false }] } }, false],
    [{ detail: { missing: [{ exists: false }] } }, true],
    [{ absent: { deeper: [{ exists: false }] } }, true],
    [{ absent: { deeper: [{ exists: true }] } }, false],
    [{ detail: { none: [{ exists: true }] } }, true],
    [{ detail: { status: [{ 'anything-but': 'FAILED' }] } }, false],
    [{ detail: { status: [{ 'anything-but': ['ABORTED', 'TIMED_OUT'] }] } }, true],
    [{ detail: { status: [{ 'anything-but': { prefix: 'FA' } }] } }, false],
    [{ detail: { count: [{ 'anything-but': [2, 3] }] } }, true],
    [{ detail: { missing: [{ 'anything-but': 'x' }] } }, false],
    [{ detail: { count: [{ numeric: ['=', 1] }] } }, true],
    [{ detail: { count: [{ numeric: ['>', 1] }] } }, false],
    [{ detail: { count: [{ numeric: ['>', 0, '<=', 1] }] } }, true],
    [{ detail: { status: [{ numeric: ['>', 0] }] } }, false],
    [{ detail: { status: ['OTHER', { prefix: 'FAIL' }] } }, true],
  ])('%j', (pattern, expected) => {
    expect(matchesPattern(parsePattern(pattern), event)).toBe(expected);
  });

  test.each([
    {},
    { source: [] },
    { source: 'aws.states' },
    { detail: {} },
    { source: [{ prefix: 1 }] },
    { source: [{ prefix: 'a', exists: true }] },
    { source: [{ 'anything-but': [] }] },
    { detail: { count: [{ numeric: ['>'] }] } },
    { detail: { count: [{ numeric: ['!', 1] }] } },
    { source: [['nested']] },
  ])('%j is refused', (pattern) => {
    expect(() => parsePattern(pattern)).toThrow(/^EventPattern/);
  });

  test.each(['suffix', 'wildcard', 'equals-ignore-case', 'cidr'])(
    'the operator %s is refused by its name',
    (operator) => {
      expect(() => parsePattern({ source: [{ [operator]: 'x' }] })).toThrow(
        `the operator ${operator} is not understood locally`,
      );
    },
  );

  test('alternatives of fields are refused by their name', () => {
    expect(() => parsePattern({ $or: [{ source: ['x'] }] })).toThrow('the operator $or is not understood');
  });
});
