import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimTenant } from '../../functions/database/transfer/claim.ts';
import { addFigures } from '../../functions/upkeep/figures.ts';
import { NO_SUMMARIES } from '../../functions/upkeep/refresh-summaries.ts';
import {
  NO_FIGURES,
  summarize,
  type UpkeepOptions,
  upkeepDatabase,
} from '../../functions/upkeep/upkeep-database.ts';
import { findDatabase, listDatabases } from '../../functions/upkeep/upkept-databases.ts';
import { asTenant } from '../enter-tenant.ts';
import { MeteredWorld } from '../promotion/metered-world.ts';
import type { TestTenant } from '../test-database.ts';

let world: MeteredWorld;
beforeAll(async () => {
  world = await MeteredWorld.create();
  for (const [cell, region] of [
    ['us-1', 'us'],
    ['us-2', 'us'],
    ['us-3', 'us'],
    ['eu-1', 'eu'],
  ] as const)
    await world.addCell(cell, region);
});
afterAll(() => world.drop());

const now = new Date();
const throwing: UpkeepOptions['onFailure'] = ({ error }) => {
  throw error;
};

/** As the task does it: each call has a connection of its own. */
async function upkeep(key: string, options: Partial<UpkeepOptions> = {}) {
  const database = await findDatabase(world.registry, 'us', key);
  const owner = await world.database(key).connect('owner');
  try {
    return await upkeepDatabase(world.registry, owner, database!, {
      now,
      deadline: performance.now() + 30_000,
      onFailure: throwing,
      ...options,
    });
  } finally {
    await owner.end();
  }
}

async function write(tenant: TestTenant, monthsAgo: number, count: number): Promise<void> {
  const client = await world.home(tenant.tenantId).connect(tenant.login);
  await asTenant(client, tenant, 'write', () =>
    client.query(
      `INSERT INTO audit_log (action, resource_type, created_at)
       SELECT 'a', 'r', now() - make_interval(months => $1) FROM generate_series(1, $2)`,
      [monthsAgo, count],
    ),
  );
  await client.end();
}

const id = (digit: number) => `${String(digit).repeat(8)}-0000-4000-8000-000000000000`;

test('the databases of a region are its cells and the dedicated ones of tenants that are there', async () => {
  const acme = await world.addTenant('dedicated', null);
  const suspended = await world.addTenant('dedicated', null, { status: 'suspended' });
  const leaving = await world.addTenant('dedicated', null, { status: 'offboarding' });
  const keys = await listDatabases(world.registry, 'us');
  expect(keys.slice(0, 3)).toEqual(['us-1', 'us-2', 'us-3']);
  expect(keys.slice(3).sort()).toEqual([acme.tenantId, suspended.tenantId].sort());
  expect(keys).not.toContain(leaving.tenantId);
  expect(await findDatabase(world.registry, 'us', acme.tenantId)).toMatchObject({
    shared: false,
    ownerSecret: `strata/dedicated/${acme.tenantId}/owner`,
  });
  expect(await findDatabase(world.registry, 'us', 'eu-1')).toBeUndefined();
});

test('a dedicated database gets no partitions, and its old rows go', async () => {
  const tenant = await world.addTenant('dedicated', null);
  await write(tenant, 85, 3);
  await write(tenant, 83, 2);
  expect(await upkeep(tenant.tenantId)).toEqual({ done: true, figures: { ...NO_FIGURES, rowsDeleted: 3 } });
});

describe('in a cell', () => {
  test('each tenant has the retention of its tier; one that fails or moves costs nobody else', async () => {
    const [broken, moving, fine, starter] = [
      await world.addTenant('schema', 'us-1', { tenantId: id(1) }),
      await world.addTenant('schema', 'us-1', { tenantId: id(2) }),
      await world.addTenant('schema', 'us-1', { tenantId: id(3) }),
      await world.addTenant('shared', 'us-1', { tenantId: id(4) }),
    ];
    for (const tenant of [broken, moving, fine]) await write(tenant, 25, 4);
    await write(starter, 14, 2);
    await write(starter, 1, 5);
    const owner = await world.database('us-1').connect('owner');
    await owner.query(`ALTER TABLE ${broken.schemaName}.audit_log RENAME COLUMN created_at TO made_at`);
    await claimTenant(owner, { tenantId: moving.tenantId, epoch: moving.epoch, attemptId: id(9) });
    const failures: unknown[] = [];
    const { done, figures } = await upkeep('us-1', {
      onFailure: ({ tenantId, error }) => failures.push([tenantId, (error as { code: string }).code]),
    });
    expect([done, failures]).toEqual([true, [[broken.tenantId, '42703']]]);
    expect(figures).toEqual({
      partitionsAdded: 1,
      partitionsDropped: 0,
      rowsDrained: 5,
      rowsDeleted: 4 + 2,
      postponed: 1,
      failures: 1,
    });
  });

  test('a call that runs out of time is gone on with: nothing is done twice, nothing is left out', async () => {
    const tenants = [5, 6, 7].map((digit) => ({ tenantId: id(digit) }));
    for (const fields of tenants) await write(await world.addTenant('schema', 'us-2', fields), 25, 2);
    let [calls, figures] = [0, NO_FIGURES];
    for (let step = await upkeep('us-2', { deadline: 0, onFailure: () => {} }); ; calls++) {
      figures = addFigures(figures, { ...step.figures, failures: 0 });
      if (step.done) break;
      const cursor = JSON.parse(JSON.stringify(step.cursor));
      // Time for one more tenant.
      let looks = 0;
      const deadline = { [Symbol.toPrimitive]: () => (looks++ < 2 ? Infinity : 0) } as unknown as number;
      step = await upkeep('us-2', { cursor, deadline });
    }
    expect(calls).toBeGreaterThan(2);
    expect(figures).toMatchObject({ rowsDeleted: 6 });
  });

  test('a second run at the same time is refused, and both together do the work once', async () => {
    const owner = await world.database('us-3').connect('owner');
    const other = await world.database('us-3').connect('owner');
    const options = { now, deadline: performance.now() + 30_000, onFailure: throwing };
    const cell = { key: 'us-3', shared: true };
    await upkeepDatabase(world.registry, owner, cell, options);
    await expect(upkeepDatabase(world.registry, other, cell, options)).rejects.toMatchObject({
      name: 'UpkeepRunning',
    });
    await owner.end();
    await expect(upkeepDatabase(world.registry, other, cell, options)).resolves.toMatchObject({ done: true });
  });
});

test('a report names the databases in which something failed, and sums up all', () => {
  const figures = { ...NO_FIGURES, rowsDeleted: 5 };
  const summaries = { figures: { ...NO_SUMMARIES, refreshed: 3 } };
  const summary = summarize([
    { key: 'us-1', step: { figures }, summaries },
    { key: 'us-2', step: { figures: { ...figures, failures: 2 } }, summaries },
    { key: 'us-3', failure: 'UpkeepFailed', summaries },
    { key: 'us-4', step: { figures }, summariesFailure: 'UpkeepFailed' },
    { key: 'us-5', summaries },
  ]);
  expect(summary).toEqual({
    databases: 5,
    failed: ['us-2', 'us-3', 'us-4'],
    figures: { ...NO_FIGURES, rowsDeleted: 15, failures: 3 },
    summaries: { ...NO_SUMMARIES, refreshed: 12, failures: 1 },
  });
});
