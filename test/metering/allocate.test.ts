import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate, divided } from '../../functions/costs/allocate.ts';
import {
  type Basis,
  type BillLine,
  billOf,
  daysOf,
  type Period,
  type TenantFigures,
} from '../../functions/costs/bill.ts';
import { knownRegions } from '../../infra/config.ts';
import { costBasisOf } from '../../infra/cost-basis.ts';
import { loadConfig } from '../../infra/load-config.ts';

const PERIOD: Period = { from: '2026-02-01', to: '2026-02-28' };
const february = (day: number) => `2026-02-${String(day).padStart(2, '0')}`;

const CELLS = ['us-1', 'us-2'] as const;
const BASES = [
  'database-time',
  'request-time',
  'requests',
  'storage',
  'bytes-out',
  'bytes-moved',
  'backups',
  'users',
  'tenants',
  'rest',
] as const satisfies readonly Basis[];

const whole = (max: number) => fc.oneof(fc.constant(0), fc.nat(max));
const figures = fc.record({
  requests: whole(1_000_000_000),
  requestMs: whole(2_000_000_000),
  databaseMs: whole(2_000_000_000),
  bytesIn: whole(2_000_000_000),
  bytesOut: whole(2_000_000_000),
  movedBytes: whole(2_000_000_000),
  storageBytes: fc.maxSafeNat(),
  keptBackupBytes: fc.maxSafeNat(),
  users: whole(100_000),
  place: fc.constantFrom(...CELLS, null),
  first: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 28 })),
  length: fc.oneof(fc.constant(28), fc.integer({ min: 1, max: 28 })),
});
const tenants = (least: number, lastDay = 28) =>
  fc.array(figures, { minLength: least, maxLength: 30 }).map((list): TenantFigures[] =>
    list.map(({ place, first, length, ...used }, index) => ({
      ...used,
      existed: {
        from: february(Math.min(first, lastDay)),
        to: february(Math.min(Math.min(first, lastDay) + length - 1, lastDay)),
      },
      tenantId: `tenant-${index}`,
      slug: `tenant-${index}`,
      tier: place === null ? 'enterprise' : index % 2 === 0 ? 'starter' : 'business',
      isolationModel: place === null ? 'dedicated' : index % 2 === 0 ? 'shared' : 'schema',
      cellId: place,
      databaseSize: null,
      monthlyRevenue: null,
    })),
  );
const lines = fc.array(
  fc.record({
    amount: fc.integer({ min: 1, max: 1_000_000_000_000 }),
    basis: fc.constantFrom(...BASES),
    isStanding: fc.boolean(),
    place: fc.option(fc.oneof(fc.constantFrom(...CELLS), fc.constant('us-9'), fc.nat(40))),
  }),
  { maxLength: 20 },
);
const bill = (
  list: readonly { amount: number; basis: Basis; isStanding: boolean; place: string | number | null }[],
): BillLine[] =>
  list.map(({ amount, basis, isStanding, place }, index) => ({
    item: `item-${index}`,
    amount,
    basis,
    isStanding,
    source: 'measured',
    ...(typeof place === 'string' ? { cellId: place } : {}),
    ...(typeof place === 'number' ? { tenantId: `tenant-${place}` } : {}),
  }));

/** On every day of it. */
const hadTenants = (fleet: readonly TenantFigures[], { from, to }: Period) =>
  Array.from({ length: daysOf({ from, to }) }, (_, index) => february(index + 1)).every((day) =>
    fleet.some(({ existed }) => existed.from <= day && day <= existed.to),
  );

const sum = (amounts: Iterable<number>) => [...amounts].reduce((total, amount) => total + BigInt(amount), 0n);
const allocated = ({ shares }: ReturnType<typeof allocate>) =>
  sum([...shares.values()].flat().map(({ amount }) => amount));

describe('the shares of all tenants', () => {
  test('are the bill, to the millionth of a dollar, whatever is billed and used', () => {
    fc.assert(
      fc.property(lines, tenants(0), (given, fleet) => {
        const billed = bill(given);
        const allocation = allocate(billed, fleet, PERIOD);
        expect(allocated(allocation) + BigInt(allocation.unallocated)).toBe(
          sum(billed.map(({ amount }) => amount)),
        );
        if (hadTenants(fleet, PERIOD)) expect(allocation.unallocated).toBe(0);
        for (const share of [...allocation.shares.values()].flat()) {
          expect(Number.isSafeInteger(share.amount) && share.amount > 0).toBe(true);
        }
      }),
    );
  });

  test('are the bill of an installation with its configured prices', () => {
    const config = loadConfig({ STRATA_CELLS: 'us=2', STRATA_CACHE: 'on' });
    const basis = costBasisOf(config, config.regions[0] ?? knownRegions.us);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 28 }).chain((days) => fc.tuple(fc.constant(days), tenants(1, days))),
        ([days, fleet]) => {
          const period = { from: february(1), to: february(days) };
          const billed = billOf(basis, fleet, period);
          const allocation = allocate(billed, fleet, period);
          if (hadTenants(fleet, period)) expect(allocation.unallocated).toBe(0);
          expect(allocated(allocation) + BigInt(allocation.unallocated)).toBe(
            sum(billed.map(({ amount }) => amount)),
          );
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('a line', () => {
  const tenant = (tenantId: string, own: Partial<TenantFigures> = {}): TenantFigures => ({
    tenantId,
    slug: tenantId,
    existed: PERIOD,
    tier: 'starter',
    isolationModel: 'shared',
    cellId: 'us-1',
    databaseSize: null,
    requests: 0,
    requestMs: 0,
    databaseMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    movedBytes: 0,
    storageBytes: 0,
    keptBackupBytes: 0,
    users: 0,
    monthlyRevenue: null,
    ...own,
  });
  const totals = (billed: readonly BillLine[], fleet: readonly TenantFigures[]) =>
    Object.fromEntries(
      [...allocate(billed, fleet, PERIOD).shares].map(([id, shares]) => [
        id,
        shares.reduce((total, { amount }) => total + amount, 0),
      ]),
    );

  test('of a cell is shared by the measured figure, among the cell’s tenants only', () => {
    const fleet = [
      tenant('a', { databaseMs: 300 }),
      tenant('b', { databaseMs: 100 }),
      tenant('c', { databaseMs: 900, cellId: 'us-2' }),
    ];
    const line = { item: 'x', amount: 1_000, basis: 'database-time', source: 'measured' } as const;
    expect(totals([{ ...line, cellId: 'us-1' }], fleet)).toEqual({ a: 750, b: 250, c: 0 });
  });

  test('of a dedicated database is its tenant’s alone, and the rest follows what each has got', () => {
    const fleet = [tenant('a', { requests: 1 }), tenant('e', { cellId: null, isolationModel: 'dedicated' })];
    const billed: BillLine[] = [
      { item: 'own', amount: 900, basis: 'tenants', source: 'configured', tenantId: 'e' },
      { item: 'api', amount: 100, basis: 'requests', source: 'measured' },
      { item: 'registry', amount: 1_000, basis: 'rest', source: 'configured' },
    ];
    expect(totals(billed, fleet)).toEqual({ a: 200, e: 1_800 });
  });

  test('that nobody has used is shared by heads', () => {
    const line: BillLine = { item: 'x', amount: 10, basis: 'storage', source: 'measured' };
    expect(totals([line], [tenant('a'), tenant('b'), tenant('c')])).toEqual({ a: 4, b: 3, c: 3 });
  });

  test('that stands is shared each day among the tenants of that day; a day without one is nobody’s', () => {
    const standing = { amount: 2_800, source: 'configured', isStanding: true } as const;
    const registry: BillLine = { item: 'registry', basis: 'rest', ...standing };
    // Onboarded on the 15th; of those who use nothing, each has the same.
    const late = { existed: { from: february(15), to: february(28) } };
    expect(totals([registry], [tenant('a'), tenant('late', late)])).toEqual({ a: 2_100, late: 700 });
    // The only tenant: the days before it are nobody's.
    const only = allocate([registry], [tenant('late', late)], PERIOD);
    expect([totals([registry], [tenant('late', late)]), only.unallocated]).toEqual([{ late: 1_400 }, 1_400]);
    // Erased on the 7th, with as many milliseconds in a week as the other in four.
    const cell: BillLine = { item: 'cell', basis: 'database-time', cellId: 'us-1', ...standing };
    const gone = { existed: { from: february(1), to: february(7) }, databaseMs: 100 };
    const stays = { databaseMs: 100 };
    expect(totals([cell], [tenant('gone', gone), tenant('stays', stays)])).toEqual({
      gone: 560,
      stays: 140 + 2_100,
    });
  });

  test('of a cell without a tenant on some days is the rest of these days', () => {
    const fleet = [
      tenant('early', { existed: { from: february(1), to: february(14) }, cellId: 'us-1' }),
      tenant('b', { cellId: 'us-2', existed: { from: february(8), to: february(28) } }),
    ];
    const line = { item: 'cell', amount: 2_800, basis: 'database-time', isStanding: true } as const;
    const cell: BillLine = { ...line, source: 'configured', cellId: 'us-1' };
    expect(totals([cell], fleet)).toEqual({ early: 1_400, b: 1_400 });
  });

  test('that is measured is shared by what was used, and what costs by the day by figure and days', () => {
    const late = { existed: { from: february(22), to: february(28) } };
    const fleet = [
      tenant('a', { requests: 100, storageBytes: 1_000 }),
      tenant('late', { ...late, requests: 100, storageBytes: 1_000 }),
    ];
    const line = { item: 'x', amount: 1_000, source: 'measured' } as const;
    expect(totals([{ ...line, basis: 'requests' }], fleet)).toEqual({ a: 500, late: 500 });
    expect(totals([{ ...line, basis: 'storage' }], fleet)).toEqual({ a: 800, late: 200 });
    expect(totals([{ ...line, basis: 'tenants' }], fleet)).toEqual({ a: 800, late: 200 });
  });

  test('of a tenant’s own is of the days on which it existed', () => {
    const config = loadConfig({});
    const basis = costBasisOf(config, config.regions[0] ?? knownRegions.us);
    const own = { cellId: null, isolationModel: 'dedicated', storageBytes: 1e12 } as const;
    const ofOwn = (existed: Period) =>
      billOf(basis, [tenant('e', { ...own, existed })], PERIOD)
        .filter(({ tenantId }) => tenantId === 'e')
        .map(({ item, amount }) => [item, amount] as const);
    const whole = ofOwn(PERIOD);
    expect(whole.map(([item]) => item)).toContain('dedicated-storage');
    for (const [index, [item, amount]] of ofOwn({ from: february(15), to: february(28) }).entries())
      expect(Math.abs(amount * 2 - (whole[index]?.[1] ?? 0)), item).toBeLessThanOrEqual(2);
  });

  test('is divided by the largest remainders', () => {
    const parts = divided(10, [
      { id: 'a', weight: 1 },
      { id: 'b', weight: 2 },
      { id: 'c', weight: 4 },
    ]);
    expect(Object.fromEntries(parts)).toEqual({ a: 1, b: 3, c: 6 });
  });
});
