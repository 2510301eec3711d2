import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate, divided } from '../../functions/costs/allocate.ts';
import { type Basis, type BillLine, billOf, type TenantFigures } from '../../functions/costs/bill.ts';
import { knownRegions } from '../../infra/config.ts';
import { costBasisOf } from '../../infra/cost-basis.ts';
import { loadConfig } from '../../infra/load-config.ts';

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
});
const tenants = (least: number) =>
  fc.array(figures, { minLength: least, maxLength: 30 }).map((list): TenantFigures[] =>
    list.map(({ place, ...used }, index) => ({
      ...used,
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
    place: fc.option(fc.oneof(fc.constantFrom(...CELLS), fc.constant('us-9'), fc.nat(40))),
  }),
  { maxLength: 20 },
);
const bill = (list: readonly { amount: number; basis: Basis; place: string | number | null }[]): BillLine[] =>
  list.map(({ amount, basis, place }, index) => ({
    item: `item-${index}`,
    amount,
    basis,
    source: 'measured',
    ...(typeof place === 'string' ? { cellId: place } : {}),
    ...(typeof place === 'number' ? { tenantId: `tenant-${place}` } : {}),
  }));

const sum = (amounts: Iterable<number>) => [...amounts].reduce((total, amount) => total + BigInt(amount), 0n);
const allocated = ({ shares }: ReturnType<typeof allocate>) =>
  sum([...shares.values()].flat().map(({ amount }) => amount));

describe('the shares of all tenants', () => {
  test('are the bill, to the millionth of a dollar, whatever is billed and used', () => {
    fc.assert(
      fc.property(lines, tenants(0), (given, fleet) => {
        const billed = bill(given);
        const allocation = allocate(billed, fleet);
        expect(allocated(allocation) + BigInt(allocation.unallocated)).toBe(
          sum(billed.map(({ amount }) => amount)),
        );
        if (fleet.length > 0) expect(allocation.unallocated).toBe(0);
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
      fc.property(tenants(1), fc.integer({ min: 1, max: 28 }), (fleet, days) => {
        const period = { from: '2026-02-01', to: `2026-02-${String(days).padStart(2, '0')}` };
        const billed = billOf(basis, fleet, period);
        const allocation = allocate(billed, fleet);
        expect(allocation.unallocated).toBe(0);
        expect(allocated(allocation)).toBe(sum(billed.map(({ amount }) => amount)));
      }),
      { numRuns: 30 },
    );
  });
});

describe('a line', () => {
  const tenant = (tenantId: string, own: Partial<TenantFigures> = {}): TenantFigures => ({
    tenantId,
    slug: tenantId,
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
      [...allocate(billed, fleet).shares].map(([id, shares]) => [
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

  test('is divided by the largest remainders', () => {
    const parts = divided(10, [
      { id: 'a', weight: 1 },
      { id: 'b', weight: 2 },
      { id: 'c', weight: 4 },
    ]);
    expect(Object.fromEntries(parts)).toEqual({ a: 1, b: 3, c: 6 });
  });
});
