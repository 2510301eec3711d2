/** Moves stay on record in the region that a tenant has left; the pause that follows them goes with it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decide } from '../../functions/promotion/decide.ts';
import { listCandidates } from '../../functions/promotion/promotion-candidates.ts';
import { defaultPromotionPolicy as policy } from '../../functions/promotion/promotion-policy.ts';
import { BorderWorld, type Key } from '../move/border-world.ts';
import { daysFromToday } from './evaluation.ts';

let world: BorderWorld;
beforeAll(async () => {
  world = await BorderWorld.create();
});
afterAll(() => world?.drop());

async function candidate(region: Key, tenantId: string) {
  const page = { region, after: undefined, limit: 50, samplesEach: 1 };
  return (await listCandidates(world.in(region).registry, page)).find((each) => each.tenantId === tenantId)!;
}

/** What the daily run decides in so many days, with as many users on that day. */
async function decided(region: Key, tenantId: string, { users, days }: { users: number; days: number }) {
  const at = daysFromToday(days).toISOString();
  await world.in(region).registry.query(
    `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees)
     VALUES (:tenantId::uuid, :day::date, :users::int, 0)`,
    { tenantId, users, day: at.slice(0, 10) },
  );
  const { figures } = await candidate(region, tenantId);
  const { decision, reasons } = decide({ ...figures, at, runningMoves: 0 }, policy);
  return `${decision}: ${reasons.map(({ rule }) => rule).join(', ')}`;
}

const placedAt = async (region: Key, tenantId: string) =>
  (await world.rows(region, 'tenant_database_routing', tenantId))[0]?.created_at as string;

test('a tenant that has come from another region is not promoted before the cool-down is over', async () => {
  const tenantId = await world.addTenant({ tier: 'starter' });
  await world.move(tenantId, 'us', 'eu');
  expect(await decided('eu', tenantId, { users: 60, days: 1 })).toBe('defer: users, cool-down');
  expect(await decided('eu', tenantId, { users: 60, days: 13 })).toBe('defer: users, cool-down');
  expect(await decided('eu', tenantId, { users: 60, days: 15 })).toBe('promote: users');
});

test('one that has come back cools down from then on, not from when it left', async () => {
  const tenantId = await world.addTenant();
  await world.move(tenantId, 'us', 'eu');
  await world
    .in('us')
    .registry.query(
      "UPDATE tenant_moves SET finished_at = now() - interval '60 days' WHERE tenant_id = :tenantId::uuid",
      { tenantId },
    );
  await world.move(tenantId, 'eu', 'us');
  const { lastMove } = (await candidate('us', tenantId)).figures;
  expect(lastMove?.succeeded).toBe(true);
  expect(Date.parse(lastMove!.finishedAt)).toBe(Date.parse(await placedAt('us', tenantId)));
});

test('a later move of the new region counts instead', async () => {
  const tenantId = await world.addTenant();
  await world.move(tenantId, 'us', 'eu');
  await world.in('eu').registry.query(
    `INSERT INTO tenant_moves (tenant_id, status, input, plan, started_by, finished_at)
     VALUES (:tenantId::uuid, 'failed', '{}', '[]', 'test', now())`,
    { tenantId },
  );
  expect((await candidate('eu', tenantId)).figures.lastMove).toMatchObject({ succeeded: false });
});

test('one that has never moved has nothing to cool down from, whatever its epoch', async () => {
  const [fresh, restored] = [await world.addTenant(), await world.addTenant({ tier: 'business', epoch: 3 })];
  // Both rows come with the registration, in one transaction.
  await world.in('us').registry.query(
    `UPDATE tenant_database_routing r SET created_at = t.created_at
     FROM tenants t WHERE t.tenant_id = r.tenant_id AND r.tenant_id = :restored::uuid`,
    { restored },
  );
  for (const tenantId of [fresh, restored])
    expect((await candidate('us', tenantId)).figures.lastMove).toBeNull();
});

test('a Starter tenant that has gone into the shared tables of its new region has not been moved down', async () => {
  const tenantId = await world.addTenant({ tier: 'starter' });
  await world.move(tenantId, 'us', 'eu');
  await world.startFollowUp(tenantId, { region: 'eu', tier: 'starter' });
  expect((await candidate('eu', tenantId)).figures.movedDown).toBe(false);
  // As many users as it takes, without the tenth more that a tenant needs which was moved down.
  expect(await decided('eu', tenantId, { users: 50, days: 15 })).toBe('promote: users');
});
