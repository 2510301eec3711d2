import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PromotionRefused } from '../../functions/promotion/errors.ts';
import { listUsage } from '../../functions/registry/usage.ts';
import { daysFromToday, Evaluation, FIRST_PAGE, today } from './evaluation.ts';

let daily: Evaluation;
beforeAll(async () => {
  daily = await Evaluation.create();
});
afterAll(() => daily.world.drop());
beforeEach(() => daily.forget());

describe('a Starter tenant that reaches the threshold', () => {
  test('is promoted once, and the record tells the move and the figures', async () => {
    const [big, small] = [await daily.starter(50), await daily.starter(49)];
    expect(await daily.run()).toEqual({
      done: true,
      withdrawn: 0,
      failures: 0,
      decisions: { keep: 1, promote: 1, defer: 0, offer: 0 },
    });
    const [decision] = await daily.decisionsOf(big);
    expect(decision).toMatchObject({
      decision: 'promote',
      targetTier: 'business',
      offerId: null,
      moveId: expect.any(String),
      reasons: [{ rule: 'users', detail: '50 users; Business begins at 50.' }],
      figures: {
        users: 50,
        activeUsers: 50,
        activeEmployees: 1,
        storageBytes: 1000,
        runningMoves: 0,
        moving: false,
      },
    });
    expect(await daily.told(small)).toEqual(['keep: below-threshold']);
    await daily.run();
    expect(await daily.told(big)).toEqual(['defer: users, moving', 'promote: users']);
    expect(await daily.told(small)).toEqual(['keep: below-threshold']);
  });

  test('waits while as many moves run as may, and those that this run starts count', async () => {
    const waiting = [await daily.starter(60), await daily.starter(60), await daily.starter(60)].sort();
    const other = await daily.starter(1);
    await daily.startMove({ tenantId: other, targetTier: 'starter' });
    const { decisions } = await daily.run();
    expect(decisions).toMatchObject({ promote: 2, defer: 1 });
    expect(await daily.told(waiting[2]!)).toEqual(['defer: users, too-many-moves']);
  });

  test('is put off, with the reason, when the move is refused', async () => {
    const tenantId = await daily.starter(60);
    const refused = {
      startPromotion: async () => {
        throw new PromotionRefused('cell', 'No cell has room.');
      },
    };
    expect((await daily.run(refused)).decisions).toMatchObject({ promote: 0, defer: 1 });
    await daily.run(refused);
    expect(await daily.told(tenantId)).toEqual(['defer: users, cell']);
    // The next day it is worth a record again, and worth another try.
    await daily.addSample(tenantId, { users: 60, daysAgo: -1 });
    await daily.run({ ...refused, at: daysFromToday(1) });
    expect(await daily.told(tenantId)).toEqual(['defer: users, cell', 'defer: users, cell']);
  });

  test('does not keep the others waiting when its move fails to start', async () => {
    const tenants = [await daily.starter(60), await daily.starter(60)].sort();
    const outcome = await daily.run({
      startPromotion: async (request) => {
        if (request.tenantId === tenants[0]) throw new Error('out of order');
        return daily.startMove(request);
      },
    });
    expect(outcome).toMatchObject({ failures: 1, decisions: { promote: 1 } });
    expect(daily.failures).toMatchObject([{ tenantId: tenants[0], error: { message: 'out of order' } }]);
    expect(await daily.told(tenants[0]!)).toEqual([]);
  });

  test.each([
    ['shared', 'schema', 'defer: users, cool-down'],
    ['schema', 'shared', 'defer: users, cool-down'],
  ])('waits after a move from %s to %s', async (from, to, expected) => {
    const tenantId = await daily.starter(60);
    await daily.addPastMove(tenantId, from, to, { daysAgo: 5 });
    await daily.run();
    expect(await daily.told(tenantId)).toEqual([expected]);
  });

  test('and was moved down must exceed it by the margin, whatever happened in its tier since', async () => {
    const [within, beyond, moved] = [
      await daily.starter(54),
      await daily.starter(55),
      await daily.starter(54),
    ];
    for (const tenantId of [within, beyond])
      await daily.addPastMove(tenantId, 'schema', 'shared', { daysAgo: 60 });
    // Between cells, without another isolation model; and one that was rolled back.
    await daily.addPastMove(within, 'shared', 'shared', { daysAgo: 40 });
    await daily.addPastMove(within, 'shared', 'schema', { daysAgo: 30, state: 'rolled-back' });
    await daily.addPastMove(moved, 'schema', 'shared', { daysAgo: 90 });
    await daily.addPastMove(moved, 'shared', 'schema', { daysAgo: 60 });
    await daily.run();
    expect(await daily.told(within)).toEqual(['keep: users, within-margin']);
    expect(await daily.told(beyond)).toEqual(['promote: users']);
    expect(await daily.told(moved)).toEqual(['promote: users']);
  });
});

test('an unchanged keep is recorded once a week, a changed one at once', async () => {
  const tenantId = await daily.starter(10);
  for (const day of [0, 1, 6]) {
    await daily.addSample(tenantId, { users: 10, daysAgo: -day }).catch(() => {});
    await daily.run({ at: daysFromToday(day) });
  }
  expect(await daily.told(tenantId)).toEqual(['keep: below-threshold']);
  await daily.change(tenantId, `status = 'suspended'`);
  await daily.run({ at: daysFromToday(6) });
  expect(await daily.told(tenantId)).toEqual(['keep: not-active', 'keep: below-threshold']);
  await daily.run({ at: daysFromToday(8) });
  expect(await daily.told(tenantId)).toHaveLength(3);
});

test('usage is listed newest first, page by page, for one tenant only', async () => {
  const [tenantId, other] = [await daily.starter(5), await daily.starter(6)];
  for (const daysAgo of [1, 2, 3, 4])
    await daily.addSample(tenantId, { users: 5 - daysAgo, daysAgo, revenue: 9.5 });
  const users: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await listUsage(daily.world.registry, `t-${tenantId}`, { limit: 2, cursor });
    expect(page.items.every((item) => item.tenantId === tenantId)).toBe(true);
    users.push(...page.items.map(({ activeUsers }) => activeUsers ?? 0));
    cursor = page.nextCursor ?? undefined;
  } while (cursor);
  expect(users).toEqual([5, 4, 3, 2, 1]);
  const [latest] = (await listUsage(daily.world.registry, other, FIRST_PAGE)).items;
  expect(latest).toMatchObject({
    tenantId: other,
    sampledOn: today().slice(0, 10),
    activeUsers: 6,
    activeEmployees: 1,
    userCount: null,
    assessmentCount: null,
    storageBytes: 1000,
    databaseSizeBytes: null,
    rowOperations: null,
    monthlyRevenue: null,
    sampledAt: expect.stringMatching(/Z$/),
    requests: null,
    tableBytes: null,
  });
});
