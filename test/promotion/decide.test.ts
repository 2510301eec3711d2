import { describe, expect, test } from 'vitest';
import { type Decision, decide } from '../../functions/promotion/decide.ts';
import { type PromotionFigures, recordedFigures, type Sample } from '../../functions/promotion/figures.ts';
import {
  defaultPromotionPolicy as policy,
  readPromotionPolicy,
} from '../../functions/promotion/promotion-policy.ts';
import { business, dayBefore, figures, GB, instantBefore, sample } from './some-figures.ts';

/** `decision: rule, rule`. */
const told = ({ decision, reasons }: Decision): string =>
  `${decision}: ${reasons.map(({ rule }) => rule).join(', ')}`;

describe('a Starter tenant', () => {
  test.each([
    ['49 users', { activeUsers: 49 }, 'keep: below-threshold'],
    ['50 users', { activeUsers: 50 }, 'promote: users'],
    ['50 employees', { activeEmployees: 50 }, 'promote: users'],
    [
      '25 users and 25 employees, who may be the same',
      { activeUsers: 25, activeEmployees: 25 },
      'keep: below-threshold',
    ],
    ['a revenue of 499.99', { monthlyRevenue: 499.99 }, 'keep: below-threshold'],
    ['a revenue of 500', { monthlyRevenue: 500 }, 'promote: monthly-revenue'],
    ['both', { activeUsers: 80, monthlyRevenue: 900 }, 'promote: users, monthly-revenue'],
  ])('with %s', (_, latest, expected) => {
    expect(told(decide(figures({}, latest), policy))).toBe(expected);
  });

  test.each<[string, Partial<PromotionFigures>, string]>([
    ['is being moved', { moving: true }, 'defer: users, moving'],
    [
      'was moved 13 days ago',
      { lastMove: { finishedAt: instantBefore(13), succeeded: true } },
      'defer: users, cool-down',
    ],
    [
      'was moved 14 days ago',
      { lastMove: { finishedAt: instantBefore(14), succeeded: true } },
      'promote: users',
    ],
    [
      'had a move that failed 2 days ago',
      { lastMove: { finishedAt: instantBefore(2), succeeded: false } },
      'defer: users, cool-down',
    ],
    [
      'had a move that failed 3 days ago',
      { lastMove: { finishedAt: instantBefore(3), succeeded: false } },
      'promote: users',
    ],
    ['comes before the window', { at: '2026-03-10T00:59:59Z' }, 'defer: users, maintenance-window'],
    ['comes when the window opens', { at: '2026-03-10T01:00:00Z' }, 'promote: users'],
    ['comes when the window closes', { at: '2026-03-10T05:00:00Z' }, 'defer: users, maintenance-window'],
    ['finds two moves running', { runningMoves: 2 }, 'promote: users'],
    ['finds three moves running', { runningMoves: 3 }, 'defer: users, too-many-moves'],
    ['is suspended', { status: 'suspended' }, 'keep: not-active'],
    ['has no sample', { samples: [] }, 'keep: no-recent-sample'],
    [
      'has had no sample for three days',
      { samples: [sample(3, { activeUsers: 50 })] },
      'keep: no-recent-sample',
    ],
    ['has hipaa among its requirements', { complianceRequirements: ['hipaa'] }, 'promote: users'],
  ])('with 50 users that %s', (_, fields, expected) => {
    expect(told(decide(figures(fields, { activeUsers: 50 }), policy))).toBe(expected);
  });

  test.each([
    [54, 'keep: users, within-margin'],
    [55, 'promote: users'],
  ])('that an operator moved down, with %i users', (activeUsers, expected) => {
    const moved = { movedDown: true, lastMove: { finishedAt: instantBefore(30), succeeded: true } };
    expect(told(decide(figures(moved, { activeUsers }), policy))).toBe(expected);
  });

  test('may be promoted at any hour where the window is the whole day, and over midnight', () => {
    const at = (hour: number) =>
      figures({ at: `2026-03-10T${String(hour).padStart(2, '0')}:00:00Z` }, { activeUsers: 50 });
    const hours = (startHour: number, endHour: number) =>
      Array.from({ length: 24 }, (_, hour) => hour).filter(
        (hour) =>
          decide(at(hour), { ...policy, maintenanceWindow: { startHour, endHour } }).decision === 'promote',
      );
    expect(hours(3, 3)).toHaveLength(24);
    expect(hours(22, 2)).toEqual([0, 1, 22, 23]);
  });
});

describe('a Business tenant', () => {
  const days = (count: number, fields: Partial<Sample>) =>
    [0, 1, 2, 3, 4, 5].map((ago) => sample(ago, ago < count ? fields : {}));
  /** Cumulative counts of six samples, newest first, from the rows of each day. */
  const operations = (...perDay: number[]) =>
    [0, 1, 2, 3, 4, 5].map((ago) =>
      sample(ago, { rowOperations: perDay.slice(ago).reduce((sum, rows) => sum + rows, 1_000) }),
    );
  const MANY = 6_000_000;

  test.each<[string, Partial<PromotionFigures>, string]>([
    ['nothing special', {}, 'keep: schema-suffices'],
    ['soc2', { complianceRequirements: ['soc2', 'gdpr'] }, 'keep: schema-suffices'],
    ['hipaa', { complianceRequirements: ['soc2', 'hipaa'] }, 'offer: compliance'],
    ['PCI in capitals', { complianceRequirements: ['PCI'] }, 'offer: compliance'],
    ['hipaa and no sample yet', { complianceRequirements: ['hipaa'], samples: [] }, 'offer: compliance'],
    ['401 users on 2 days', { samples: days(2, { activeUsers: 401 }) }, 'keep: schema-suffices'],
    ['401 users on 3 days', { samples: days(3, { activeUsers: 401 }) }, 'offer: users'],
    ['400 users on 5 days', { samples: days(5, { activeUsers: 400 }) }, 'keep: schema-suffices'],
    ['81 GB of 100 on 3 days', { samples: days(3, { storageBytes: 81 * GB }) }, 'offer: storage'],
    ['80 GB of 100 on 5 days', { samples: days(5, { storageBytes: 80 * GB }) }, 'keep: schema-suffices'],
    [
      '81 GB without a limit',
      { storageLimitBytes: null, samples: days(5, { storageBytes: 81 * GB }) },
      'keep: schema-suffices',
    ],
    ['many writes on 3 days of 5', { samples: operations(MANY, 1, MANY, 1, MANY, 0) }, 'offer: load'],
    ['many writes on 2 days of 5', { samples: operations(MANY, 1, MANY, 1, 1, 0) }, 'keep: schema-suffices'],
    ['an open offer', { complianceRequirements: ['hipaa'], openOffer: true }, 'keep: compliance, offer-open'],
    [
      'an offer declined 89 days ago',
      { complianceRequirements: ['hipaa'], declinedAt: instantBefore(89) },
      'keep: compliance, offer-declined',
    ],
    [
      'an offer declined 90 days ago',
      { complianceRequirements: ['hipaa'], declinedAt: instantBefore(90) },
      'offer: compliance',
    ],
    ['a move under way', { complianceRequirements: ['hipaa'], moving: true }, 'defer: compliance, moving'],
    [
      'hipaa, promoted yesterday',
      { complianceRequirements: ['hipaa'], lastMove: { finishedAt: instantBefore(1), succeeded: true } },
      'offer: compliance',
    ],
    [
      'hipaa, moved down yesterday',
      {
        complianceRequirements: ['hipaa'],
        movedDown: true,
        lastMove: { finishedAt: instantBefore(1), succeeded: true },
      },
      'defer: compliance, cool-down',
    ],
    [
      '401 users for days, moved down long ago',
      { samples: days(5, { activeUsers: 401 }), movedDown: true },
      'keep: users, within-margin',
    ],
    [
      '441 users for days, moved down long ago',
      { samples: days(5, { activeUsers: 441 }), movedDown: true },
      'offer: users',
    ],
    ['a suspension', { complianceRequirements: ['hipaa'], status: 'suspended' }, 'keep: not-active'],
  ])('with %s', (_, fields, expected) => {
    expect(told(decide(business(fields), policy))).toBe(expected);
  });

  test('is not judged by the rows that a move copied, nor by statistics that began anew', () => {
    const samples = operations(MANY, MANY, MANY, MANY, MANY, 0);
    const moved = { lastMove: { finishedAt: `${dayBefore(2)}T12:00:00Z`, succeeded: true } };
    // Of six samples two differences lie wholly behind the move.
    expect(recordedFigures(business({ samples, ...moved })).recentRowOperationsPerDay).toEqual([
      MANY,
      null,
      null,
      null,
      null,
      null,
    ]);
    const reset = [sample(0, { rowOperations: 10 }), sample(1, { rowOperations: 50_000_000 })];
    expect(recordedFigures(business({ samples: reset })).recentRowOperationsPerDay).toEqual([null, null]);
  });

  test('whose samples have gaps is judged by the rows per day', () => {
    const samples = [sample(0, { rowOperations: 9_000_000 }), sample(3, { rowOperations: 0 })];
    expect(recordedFigures(business({ samples })).recentRowOperationsPerDay).toEqual([3_000_000, null]);
  });
});

test('an Enterprise tenant is kept, whatever its figures', () => {
  const requirements = { tier: 'enterprise', complianceRequirements: ['hipaa'] } as const;
  expect(told(decide(figures(requirements, { activeUsers: 9_000 }), policy))).toBe('keep: highest-tier');
});

describe('the policy', () => {
  test('is the strategy’s where the environment says nothing', () => {
    expect(readPromotionPolicy({})).toMatchObject({ business: { users: 50, monthlyRevenue: 500 } });
    expect(readPromotionPolicy({ PROMOTION_POLICY: '{}' })).toEqual(policy);
  });

  test('takes part of its values from the environment', () => {
    const given = readPromotionPolicy({ PROMOTION_POLICY: '{"business":{"users":3},"cooldownDays":0}' });
    expect(given).toEqual({ ...policy, business: { users: 3, monthlyRevenue: 500 }, cooldownDays: 0 });
  });

  test.each([
    'no JSON',
    '{"busyness":{}}',
    '{"business":{"users":0}}',
    '{"enterprise":{"sustained":{"samples":9}}}',
  ])('is refused when it is %s', (PROMOTION_POLICY) => {
    expect(() => readPromotionPolicy({ PROMOTION_POLICY })).toThrow(
      expect.objectContaining({ name: 'InvalidPromotionPolicy' }),
    );
  });
});
