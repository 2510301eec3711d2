import { expect, test } from 'vitest';
import { readMoveRequest } from '../../functions/moves/move-target.ts';
import { planRebalancing } from '../../functions/placement/rebalancing-plan.ts';
import type { SchemaTenant } from '../../functions/registry/cell-tenants.ts';
import type { CellUtilisation } from '../../functions/registry/cell-utilisation.ts';
import type { CellView } from '../../functions/registry/cells.ts';

const measured: CellUtilisation = {
  databaseBytes: 1024 ** 3,
  connections: 10,
  maxConnections: 1_000,
  replicationSlots: 0,
  maxReplicationSlots: 40,
  databaseLoad: 0.1,
  proxySecrets: 10,
  maxProxySecrets: 200,
  observedAt: '2026-01-01T00:00:00.000Z',
};
const cell = (
  cellId: string,
  schemaTenants: number,
  utilisation: Partial<CellUtilisation> = {},
): CellView => ({
  cellId,
  region: 'us',
  dataResidency: 'us',
  status: 'active',
  sharedTenants: 100,
  schemaTenants,
  maxSchemaTenants: 20,
  utilisation: { ...measured, ...utilisation },
});
/** The n-th has n GB. */
const tenants = (count: number): SchemaTenant[] =>
  Array.from({ length: count }, (_, index) => ({
    tenantId: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    slug: `t-${String(index).padStart(2, '0')}`,
    storageBytes: (index + 1) * 1024 ** 3,
    rowOperations: 100 - index,
  }));
const slugs = ({ moves }: ReturnType<typeof planRebalancing>) => moves.map(({ slug }) => slug);

test('a cell within its limits has nothing to move', () => {
  const full = cell('us-1', 17);
  const plan = planRebalancing(full, tenants(17), [full, cell('us-2', 0)]);
  expect(plan).toEqual({ cellId: 'us-1', exceeded: [], moves: [], newCells: [] });
});

test('too many schemas: the smallest tenants go to the emptiest cells, and no cell becomes too full by it', () => {
  const full = cell('us-1', 19);
  const others = [
    cell('us-2', 13),
    cell('us-3', 12),
    cell('us-4', 19),
    { ...cell('us-5', 0), status: 'draining' as const },
  ];
  const plan = planRebalancing(full, tenants(19), [full, ...others]);
  expect(plan.exceeded).toEqual([{ resource: 'schemas', used: 19, max: 20, share: 0.95 }]);
  // 19 to 15 of 20.
  expect(slugs(plan)).toEqual(['t-00', 't-01', 't-02', 't-03']);
  expect(plan.moves.map(({ targetCell }) => targetCell)).toEqual(['us-3', 'us-2', 'us-3', 'us-2']);
  expect(plan.newCells).toEqual([]);
});

test('without room elsewhere a cell is to be added, with the first free name', () => {
  const full = cell('us-1', 20);
  const plan = planRebalancing(full, tenants(20), [full, cell('us-2', 14), cell('us-3', 20)]);
  expect(plan.moves.map(({ targetCell, newCell }) => [targetCell, newCell])).toEqual([
    ['us-2', false],
    ['us-4', true],
    ['us-4', true],
    ['us-4', true],
    ['us-4', true],
  ]);
  expect(plan.newCells).toEqual(['us-4']);
});

test('a cell of another residency takes nobody', () => {
  const full = cell('us-1', 20);
  const plan = planRebalancing(full, tenants(20), [full, { ...cell('us-2', 0), dataResidency: 'eu' }]);
  expect(plan.newCells).toEqual(['us-3']);
});

test('too many bytes: the largest go until there is room; tenants without a sample stay', () => {
  const large = cell('us-1', 10, { databaseBytes: 0.85 * 1024 ** 4 });
  const known = tenants(10).map((one, index) => ({
    ...one,
    storageBytes: index < 2 ? null : index * 40 * 1024 ** 3,
  }));
  const plan = planRebalancing(large, known, [large, cell('us-2', 0)]);
  expect(plan.exceeded).toMatchObject([{ resource: 'databaseBytes' }]);
  // 204.8 GB are to go.
  expect(slugs(plan)).toEqual(['t-09']);
  expect(plan.moves[0]).toMatchObject({
    storageBytes: 360 * 1024 ** 3,
    reason: 'is among the cell’s largest tenants',
  });
});

test('too many connections: a tenth of the tenants go, the busiest first', () => {
  const busy = cell('us-1', 15, { connections: 900 });
  const plan = planRebalancing(busy, tenants(15), [busy, cell('us-2', 0)]);
  expect(slugs(plan)).toEqual(['t-00', 't-01']);
});

test('each entry is the body of a dry run', () => {
  const full = cell('us-1', 20);
  const { moves } = planRebalancing(full, tenants(20), [full]);
  for (const { request, targetCell } of moves) {
    expect(readMoveRequest(request)).toEqual({ target: { cell: targetCell }, force: false, dryRun: true });
  }
});
