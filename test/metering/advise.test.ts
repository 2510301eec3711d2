import { describe, expect, test } from 'vitest';
import { type AdviceFigures, advise, CAPACITY_HOURS } from '../../functions/costs/advise.ts';
import { prices } from '../../infra/prices.ts';

const { us } = prices.regions;
if (!us) throw new Error('us has no prices');

const days = (count: number, bytes: (day: number) => number) =>
  Array.from({ length: count }, (_, day) => ({
    day: new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10),
    bytes: bytes(day),
  }));
const load = (sessions: number) => Array.from({ length: CAPACITY_HOURS }, () => sessions);

const cell = {
  name: 'cell us-1',
  size: { instances: 2, minCapacity: 0.5, maxCapacity: 16 },
  busySessions: load(0.02),
};
const quiet: AdviceFigures = {
  tier: 'starter',
  complianceRequirements: [],
  users: 10,
  monthlyRevenue: 99,
  monthlyCost: 1.5,
  storageLimitBytes: 5e9,
  storage: days(30, () => 1e8),
  place: cell,
  prices: us,
};
const adviceOf = (kind: string, figures: Partial<AdviceFigures>) =>
  advise({ ...quiet, ...figures }).find((one) => one.kind === kind);
const placeWith = (place: Partial<NonNullable<AdviceFigures['place']>>) => ({ place: { ...cell, ...place } });

test('a tenant without a place, as an erased one, has no capacity to advise on', () => {
  for (const kind of ['capacity', 'reservation']) {
    expect(adviceOf(kind, { place: undefined })).toEqual({
      kind,
      action: 'unknown',
      recommended: null,
      reason: 'The tenant has no place.',
      figures: {},
    });
  }
});

describe('the tier', () => {
  test.each<[string, Partial<AdviceFigures>, string | null]>([
    ['is kept while figures fit', {}, null],
    ['goes up at 50 users', { users: 50 }, 'business'],
    ['goes up at 500 USD a month', { monthlyRevenue: 500 }, 'business'],
    ['goes up where requirements demand it', { complianceRequirements: ['hipaa'] }, 'enterprise'],
    ['goes up with many users', { tier: 'business', users: 450 }, 'enterprise'],
    ['goes up with much storage', { tier: 'business', users: 60, storageLimitBytes: 1.2e8 }, 'enterprise'],
    [
      'goes down with few users who pay little',
      { tier: 'business', users: 20, monthlyRevenue: 99 },
      'starter',
    ],
    [
      'stays where a requirement forbids to go down',
      { tier: 'business', users: 20, complianceRequirements: ['gdpr'] },
      null,
    ],
    ['stays while the price is that of the tier', { tier: 'business', users: 20, monthlyRevenue: 900 }, null],
    [
      'goes down from Enterprise',
      { tier: 'enterprise', users: 100, monthlyRevenue: 900, storageLimitBytes: null },
      'business',
    ],
  ])('%s', (_name, figures, recommended) => {
    const advice = adviceOf('tier', figures);
    expect(advice).toMatchObject({ recommended, action: recommended === null ? 'keep' : 'change' });
    expect(advice?.reason).toMatch(/\.$/);
  });

  test('is unknown before the tenant is measured', () => {
    expect(adviceOf('tier', { users: null })).toMatchObject({ action: 'unknown' });
  });
});

describe('the capacity', () => {
  test.each<[string, Partial<NonNullable<AdviceFigures['place']>>, string | null]>([
    ['is kept while the load fits', {}, null],
    ['grows with the peak', { busySessions: [...load(0.1), 3] }, '0.5 to 48 ACU'],
    ['begins higher where the load is high all the time', { busySessions: load(0.6) }, '2.5 to 10 ACU'],
    [
      'begins lower where it is idle',
      { size: { instances: 2, minCapacity: 8, maxCapacity: 16 } },
      '0.5 to 2 ACU',
    ],
    ['of instances does not scale', { size: { instances: 1, instanceClass: 'db.t4g.medium' } }, null],
  ])('%s', (_name, place, recommended) => {
    expect(adviceOf('capacity', placeWith(place))).toMatchObject({ recommended });
  });

  test('is unknown on the first day', () => {
    expect(adviceOf('capacity', placeWith({ busySessions: [1, 2] }))).toMatchObject({ action: 'unknown' });
  });
});

describe('a reservation', () => {
  test('is advised for steady use, with what it saves', () => {
    expect(adviceOf('reservation', placeWith({ busySessions: load(0.4) }))).toMatchObject({
      action: 'change',
      recommended: '2 reserved db.t4g.medium',
      figures: { onDemandMonthly: 280.32, reservedMonthly: 71.54 },
    });
  });

  test('is not advised for use that comes and goes', () => {
    const busySessions = load(0.2).map((sessions, hour) => (hour % 24 === 9 ? 2 : sessions));
    expect(adviceOf('reservation', placeWith({ busySessions }))).toMatchObject({ action: 'keep' });
  });

  test('is advised for instances that run all the time anyway', () => {
    const size = { instances: 3, instanceClass: 'db.r6g.xlarge' };
    expect(adviceOf('reservation', placeWith({ size }))).toMatchObject({
      action: 'change',
      recommended: '3 reserved db.r6g.xlarge',
    });
  });

  test('needs two weeks of figures', () => {
    expect(adviceOf('reservation', placeWith({ busySessions: [0.4] }))).toMatchObject({ action: 'unknown' });
  });
});

describe('the storage', () => {
  test('says in how many days its limit is reached', () => {
    const storage = days(30, (day) => 3e9 + day * 5e7);
    expect(adviceOf('storage', { storage })).toMatchObject({
      action: 'change',
      figures: { growthBytesPerDay: 5e7, daysUntilLimit: 11 },
    });
  });

  test.each<[string, Partial<AdviceFigures>, string]>([
    ['has room', {}, 'keep'],
    ['shrinks', { storage: days(30, (day) => 4e9 - day * 1e7) }, 'keep'],
    ['has no limit', { storageLimitBytes: null }, 'keep'],
    ['has too few figures', { storage: days(3, () => 1e9) }, 'unknown'],
    ['was not measured', { storage: [] }, 'unknown'],
    ['is full', { storage: days(1, () => 6e9) }, 'change'],
  ])('%s', (_name, figures, action) => {
    expect(adviceOf('storage', figures)).toMatchObject({ action });
  });
});
