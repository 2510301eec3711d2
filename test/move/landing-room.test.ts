/** Whom the cells of another region take in: only schemas cross the border, whatever the tenant has bought. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { dryRunMove } from '../../functions/moves/dry-run.ts';
import { endFailedMove } from '../../functions/moves/end-move.ts';
import { MoveForbidden } from '../../functions/moves/errors.ts';
import { findMove, hopsOf } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { chooseCell } from '../../functions/placement/choose-cell.ts';
import { NoCellCapacity } from '../../functions/placement/errors.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { BorderWorld, type Key } from './border-world.ts';

let world: BorderWorld;
beforeAll(async () => {
  world = await BorderWorld.create();
});
afterEach(() => world?.clear());
afterAll(() => world?.drop());

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
  const sizes = { rows: 1, bytes: 1, activeEmployees: 0, tables: [] };
  const tried = await dryRunMove(world.in('us').registry, asked, async () => sizes, world.seenFrom('us'));
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
  await world.startFollowUp(tenantId, { region: 'eu', tier: 'starter' });
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
    await world.begin(first, 'us', 'eu', {
      ...world.seenFrom('us'),
      of: () => inTheirRegistry(transaction),
    });
    expect(await late?.end).toBeInstanceOf(MoveForbidden);
  });
});

describe('when the hop over the border opens, room is looked for again', () => {
  const open = (moveId: string, from: Key = 'us', by = world) =>
    nextHop(by.in(from).registry, moveId, by.seenFrom(from));
  const failed = (error: Error) => ({
    Error: error.name,
    Cause: JSON.stringify({ errorType: error.name, errorMessage: error.message }),
  });
  const full = 'Cell eu-1 of region "eu" has no room for another tenant any more.';

  test.each([
    ['has filled up', () => world.in('eu').addTenant({ tier: 'business', cellId: 'eu-1', residency: 'eu' })],
    ['was closed', () => world.in('eu').registry.query("UPDATE cells SET status = 'full'")],
    ['is being emptied', () => world.in('eu').registry.query("UPDATE cells SET status = 'draining'")],
  ])('the cell %s: the move ends, and the tenant stays where it has got', async (_, meanwhile) => {
    await limit(1);
    const tenantId = await world.addTenant({ tier: 'starter' });
    const moveId = await world.begin(tenantId, 'us', 'eu');
    await world.approach(moveId, 'us');
    await meanwhile();
    const refusal: Error = await open(moveId).then(
      () => undefined as never,
      (error) => error,
    );
    expect(refusal).toEqual(new MoveForbidden([{ rule: 'cell', detail: full }]));

    const regions = world.seenFrom('us');
    expect(await endFailedMove(world.in('us').registry, moveId, failed(refusal), { regions })).toEqual({
      outcome: 'failed',
      reason: `The move is not allowed: ${full} The tenant is in a schema of cell us-1 now.`,
    });
    expect(await world.rows('eu', 'tenants', tenantId)).toEqual([]);
    expect(await world.rows('us', 'tenants', tenantId)).toMatchObject([
      { status: 'active', home_region: 'us', data_residency: 'us' },
    ]);
    expect((await hopsOf(world.in('us').registry, moveId)).map(({ state }) => state)).toEqual(['settled']);
    // Nothing of the first one stands in the way of the next.
    await world.in('eu').addCell('eu-2', { region: 'eu', dataResidency: 'eu' });
    expect(await plannedCell(await world.begin(tenantId, 'us', 'eu'))).toBe('eu-2');
  });

  test('of two that come from two regions at once, one gets the last place', async () => {
    await limit(1);
    const settings = { tier: 'business', cellId: 'apac-1', residency: 'apac' } as const;
    const ours = await world.begin(await world.addTenant(), 'us', 'eu');
    // No region knows what another one has promised.
    const theirs = await world.begin(await world.in('apac').addTenant(settings), 'apac', 'eu');
    const other = await world.beside();
    const { registry: eu } = world.in('eu');
    let late: Outcome | undefined;
    const transaction = (work: (there: RegistryExecutor) => Promise<unknown>) =>
      eu.transaction(async (there) => {
        const announced = await work(there);
        late = await untilItWaits(open(theirs, 'apac', other), there);
        return announced;
      });
    await nextHop(world.in('us').registry, ours, {
      ...world.seenFrom('us'),
      of: () => inTheirRegistry(transaction),
    });
    expect(await late?.end).toEqual(new MoveForbidden([{ rule: 'cell', detail: full }]));
  });

  test('a tenant that is announced already has its place, however often it is announced', async () => {
    await limit(1);
    const moveId = await world.begin(await world.addTenant({ tier: 'starter' }), 'us', 'eu');
    const border = await world.approach(moveId, 'us');
    const transaction = async (work: (there: RegistryExecutor) => Promise<unknown>) => {
      await world.in('eu').registry.transaction(work);
      throw new Error('killed');
    };
    const killed = nextHop(world.in('us').registry, moveId, {
      ...world.seenFrom('us'),
      of: () => inTheirRegistry(transaction),
    });
    await expect(killed).rejects.toThrow('killed');
    await expect(onboard('business')).rejects.toThrow(NoCellCapacity);
    expect(await open(moveId)).toMatchObject({ hopIndex: border });
  });
});

/** The registry of `eu`, with other transactions. */
function inTheirRegistry(
  transaction: (work: (there: RegistryExecutor) => Promise<unknown>) => Promise<unknown>,
) {
  const { registry } = world.in('eu');
  const query: RegistryExecutor['query'] = (sql, parameters) => registry.query(sql, parameters);
  return { transaction, query } as never;
}

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
