/** Whom the cells of another region take in: only schemas cross the border, whatever the tenant has bought. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RegistryExecutor } from '../../functions/database/registry/data-api.ts';
import type { Tier } from '../../functions/database/registry/tenant-record.ts';
import { MoveForbidden } from '../../functions/move/errors.ts';
import { findMove } from '../../functions/move/move-records.ts';
import { tryMove } from '../../functions/move/try-move.ts';
import { chooseCell } from '../../functions/placement/choose-cell.ts';
import { NoCellCapacity } from '../../functions/placement/errors.ts';
import { BorderWorld, type Key } from './border-world.ts';

let world: BorderWorld;
beforeEach(async () => {
  world = await BorderWorld.create();
});
afterEach(() => world?.drop());

/** How many schemas each cell of `eu` takes. */
const limit = (most: number) =>
  world.in('eu').registry.query('UPDATE cells SET max_business_tenants = :most::int', { most });

const plannedCell = async (moveId: string, from: Key = 'us') =>
  (await findMove(world.in(from).registry, moveId))!.plan.at(-1)!.to.cellId;

/** As an onboarding asks in `eu`. */
const onboard = (tier: Tier) =>
  world
    .in('eu')
    .registry.transaction((transaction) => chooseCell(transaction, { tier, dataResidency: 'eu' }));

test('a Starter tenant goes to a cell that has room for its schema, though another one has fewer tenants', async () => {
  await world.in('eu').addCell('eu-full', { region: 'eu', dataResidency: 'eu', maxBusinessTenants: 0 });
  await world.in('eu').addTenant({ cellId: 'eu-1', residency: 'eu' });
  const moveId = await world.begin(await world.addTenant({ tier: 'starter' }), 'us', 'eu');
  expect(await plannedCell(moveId)).toBe('eu-1');
  // One that is onboarded there comes into the shared tables at once.
  expect((await onboard('starter')).cell_id).toBe('eu-full');
});

test.each([
  [
    'starter',
    'No cell with data residency "eu" has room for another starter tenant, which comes in a schema of its own.',
  ],
  ['business', 'No cell with data residency "eu" has room for another business tenant.'],
] as const)('where no cell has room, a %s tenant stays, and a dry run tells why', async (tier, detail) => {
  await limit(0);
  const tenantId = await world.addTenant({ tier });
  const asked = { tenantId, target: { residency: 'eu' }, force: true } as const;
  const sizes = { rows: 1, bytes: 1, tables: [] };
  const tried = await tryMove(world.in('us').registry, asked, async () => sizes, world.seenFrom('us'));
  expect(tried.forbidden).toEqual([{ rule: 'cell', detail }]);
  const refused = world.begin(tenantId, 'us', 'eu');
  await expect(refused).rejects.toThrow(new MoveForbidden([{ rule: 'cell', detail }]));
});

test('a tenant with a database of its own takes no place of a schema', async () => {
  await limit(0);
  const moveId = await world.begin(await world.addTenant({ tier: 'enterprise' }), 'us', 'eu');
  expect(await plannedCell(moveId)).toBeNull();
});

test('a Starter tenant has the place of a schema until it is in the shared tables', async () => {
  await limit(1);
  const tenantId = await world.addTenant({ tier: 'starter' });
  const crossing = await world.cross(tenantId, 'us', 'eu');
  await expect(onboard('business')).rejects.toThrow(NoCellCapacity);
  await world.arrive(crossing, 'us');
  await expect(onboard('business')).rejects.toThrow(NoCellCapacity);
  await world.goOnward(tenantId, { region: 'eu', tier: 'starter' });
  expect((await onboard('business')).cell_id).toBe('eu-1');
});

describe('a place that is promised to a tenant', () => {
  test('is not promised to another one before that one sets out, nor counted twice afterwards', async () => {
    await limit(2);
    const first = await world.begin(await world.addTenant({ tier: 'starter' }), 'us', 'eu');
    await world.cross(await world.addTenant(), 'us', 'eu');
    const third = await world.addTenant({ tier: 'starter' });
    await expect(world.begin(third, 'us', 'eu')).rejects.toThrow(MoveForbidden);
    await limit(3);
    await world.begin(third, 'us', 'eu');
    expect(await plannedCell(first)).toBe('eu-1');
  });

  test('is free again when its move has ended', async () => {
    await limit(1);
    const crossing = await world.cross(await world.addTenant({ tier: 'starter' }), 'us', 'eu');
    const other = await world.addTenant();
    await expect(world.begin(other, 'us', 'eu')).rejects.toThrow(MoveForbidden);
    await world.giveUp(crossing, 'us');
    await world.begin(other, 'us', 'eu');
  });

  test('is not promised to two that are planned at once', async () => {
    await limit(1);
    const [first, second] = [await world.addTenant({ tier: 'starter' }), await world.addTenant()];
    const other = await world.beside();
    const { registry: eu } = world.in('eu');
    let late: Outcome | undefined;
    // The first has chosen, and is not recorded yet.
    const transaction = async (work: (there: RegistryExecutor) => Promise<unknown>) => {
      const chosen = await eu.transaction(work);
      late = await untilItWaits(other.begin(second, 'us', 'eu'), world.in('us').registry);
      return chosen;
    };
    const query: RegistryExecutor['query'] = (sql, parameters) => eu.query(sql, parameters);
    await world.begin(first, 'us', 'eu', {
      ...world.seenFrom('us'),
      of: () => ({ transaction, query }) as never,
    });
    expect(await late?.end).toBeInstanceOf(MoveForbidden);
  });
});

interface Outcome {
  /** Its result, or its error. */
  readonly end: Promise<unknown>;
}

/** Lets it go on until it has ended, or waits for what this connection has locked. */
async function untilItWaits(work: Promise<unknown>, connection: RegistryExecutor): Promise<Outcome> {
  let ended = false;
  const end = work
    .catch((error) => error)
    .finally(() => {
      ended = true;
    });
  const waiters = 'SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))';
  while (!ended && (await connection.query(waiters)).length === 0);
  return { end };
}
