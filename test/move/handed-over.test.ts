/** What a tenant has in the registry, on its ways between three regions. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordSample } from '../../functions/metering/record-sample.ts';
import { handOver } from '../../functions/moves/other-region/hand-over.ts';
import { chooseCell } from '../../functions/placement/choose-cell.ts';
import { acceptOffer, declineOffer } from '../../functions/promotion/answer-offer.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { deleteUser } from '../../functions/registry/tenant-users.ts';
import { TenantBetweenRegions } from '../../functions/resources/errors.ts';
import { BorderWorld, type Crossing, type Key } from './border-world.ts';

let world: BorderWorld;
beforeAll(async () => {
  world = await BorderWorld.create();
});
afterAll(() => world?.drop());

const OWN = [
  'tenant_users',
  'usage_samples',
  'usage_hours',
  'usage_days',
  'tenant_offers',
  'promotion_decisions',
];
const everythingIn = async (key: Key, tenantId: string) =>
  Object.fromEntries(
    await Promise.all(
      OWN.map(async (table) => [table, await inTurn(() => world.rows(key, table, tenantId))]),
    ),
  );
let turn: Promise<unknown> = Promise.resolve();
/** One connection takes one statement at a time. */
function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  const result = turn.then(work);
  turn = result.catch(() => {});
  return result;
}

async function tenantIn(key: Key, tenantId: string) {
  const [row] = await world.rows(key, 'tenants', tenantId);
  return row;
}

/** More users than are read at once, and one of everything else; decision and offer name a move of `us`. */
async function furnish(tenantId: string): Promise<void> {
  const { registry } = world.in('us');
  const own = { tenantId };
  await registry.query(
    `INSERT INTO tenant_users (tenant_id, email, role, is_active, last_login_at)
     SELECT :tenantId::uuid, 'u' || n || '@x.test', 'member', n % 2 = 0, '2026-01-02T03:04:05.678901Z'
     FROM generate_series(1, 501) n`,
    own,
  );
  await registry.query(
    `UPDATE tenants SET billing_email = 'billing@secret.test', admin_email = 'admin@secret.test',
            monthly_revenue = 1234.56, features = '{"a": {"b": [1, null]}}', subscription_start_date = '2026-01-01',
            legal_hold = 'Doe v. Initech'
     WHERE tenant_id = :tenantId::uuid`,
    own,
  );
  await registry.query(
    `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes, monthly_revenue)
     VALUES (:tenantId::uuid, '2026-01-01', 3, 4, 5000000000, 99.90)`,
    own,
  );
  await registry.query(
    `INSERT INTO usage_hours (tenant_id, hour, region, requests, errors, request_ms, database_ms, bytes_in, bytes_out)
     VALUES (:tenantId::uuid, '2026-01-01T10:00:00Z', 'us', 7, 1, 90, 30, 1000, 2000)`,
    own,
  );
  await registry.query(
    `INSERT INTO usage_days (tenant_id, day, requests, errors, request_ms, database_ms, bytes_in, bytes_out)
     VALUES (:tenantId::uuid, '2026-01-01', 7, 1, 90, 30, 1000, 2000)`,
    own,
  );
  const [move] = await registry.query<{ id: string }>(
    `INSERT INTO tenant_moves (tenant_id, status, input, plan, started_by, finished_at)
     VALUES (:tenantId::uuid, 'failed', '{}', '[]', 'test', now()) RETURNING move_id::text AS id`,
    own,
  );
  const [offer] = await registry.query<{ id: string }>(
    `INSERT INTO tenant_offers (tenant_id, target_tier, status, reasons, figures, move_id)
     VALUES (:tenantId::uuid, 'enterprise', 'accepted', '[]', '{}', :moveId::uuid) RETURNING offer_id::text AS id`,
    { tenantId, moveId: move!.id },
  );
  await registry.query(
    `INSERT INTO promotion_decisions (tenant_id, decision, target_tier, reasons, figures, move_id, offer_id)
     VALUES (:tenantId::uuid, 'offer', 'enterprise', '[]', '{}', :moveId::uuid, :offerId::uuid)`,
    { tenantId, moveId: move!.id, offerId: offer!.id },
  );
}

const withoutMoves = (all: Record<string, unknown>) =>
  JSON.parse(JSON.stringify(all), (key, value) => (key === 'move_id' ? null : value));
const nothing = Object.fromEntries(OWN.map((table) => [table, []]));

describe('a tenant', () => {
  test('takes everything along but its moves, leaves no name and no address, and is whole again when it is back', async () => {
    const tenantId = await world.addTenant();
    await furnish(tenantId);
    const [tenant, had] = [await tenantIn('us', tenantId), await everythingIn('us', tenantId)];
    await world.move(tenantId, 'us', 'eu');
    expect(await everythingIn('eu', tenantId)).toEqual(withoutMoves(had));
    expect(await everythingIn('us', tenantId)).toEqual(nothing);
    const left = JSON.stringify(await tenantIn('us', tenantId));
    expect(left).not.toMatch(/@|1234|"a":|Doe/);
    expect(await tenantIn('eu', tenantId)).toMatchObject({ legal_hold: 'Doe v. Initech' });
    expect(await world.rows('us', 'tenant_database_routing', tenantId)).toEqual([]);
    expect((await world.rows('us', 'tenant_moves', tenantId)).length).toBe(2);

    await world.move(tenantId, 'eu', 'us');
    expect(await everythingIn('us', tenantId)).toEqual(withoutMoves(had));
    expect(await everythingIn('eu', tenantId)).toEqual(nothing);
    const { updated_at: _, schema_name: __, ...same } = tenant!;
    expect(await tenantIn('us', tenantId)).toMatchObject(same);
    expect(await tenantIn('eu', tenantId)).toMatchObject({ status: 'elsewhere', home_region: 'us' });
    expect(await world.rows('us', 'tenant_database_routing', tenantId)).toMatchObject([
      { epoch: 3, region: 'us', cell_id: 'us-1' },
    ]);
  });

  test('has the accounts of its users looked at in both regions: people sign in where their tenant is', async () => {
    const tenantId = await world.addTenant();
    await furnish(tenantId);
    const requested = async (key: Key) => {
      const { registry } = world.in(key);
      const [row] = await registry.query<{ users: number }>(
        `WITH gone AS (DELETE FROM account_requests WHERE email LIKE 'u%@x.test' RETURNING 1)
         SELECT count(*)::int AS users FROM gone`,
      );
      return row?.users;
    };
    for (const key of ['us', 'eu'] as const) await requested(key);
    await world.move(tenantId, 'us', 'eu');
    expect([await requested('us'), await requested('eu')]).toEqual([501, 501]);
  });

  test('that goes on from the second region to the third is told of at home', async () => {
    const tenantId = await world.addTenant();
    await world.move(tenantId, 'us', 'eu');
    await world.move(tenantId, 'eu', 'apac');
    expect(await tenantIn('apac', tenantId)).toMatchObject({ status: 'active', home_region: 'apac' });
    for (const key of ['us', 'eu'] as const) {
      expect(await tenantIn(key, tenantId)).toMatchObject({
        status: 'elsewhere',
        home_region: 'apac',
        data_residency: 'apac',
      });
    }
  });

  test('of the Starter tier has a way to go on there, one of the Business tier has not', async () => {
    const starter = await world.addTenant({ tier: 'starter' });
    const crossing = await world.cross(starter, 'us', 'eu');
    expect(crossing.hop).toMatchObject({ index: 1, target: { isolationModel: 'schema', region: 'eu' } });
    const followUp = { region: 'eu', tier: 'starter' };
    expect(await world.arrive(crossing, 'us')).toMatchObject({ followUp });
    const business = await world.addTenant();
    expect(await world.move(business, 'us', 'eu')).not.toHaveProperty('followUp');
  });
});

test('a tenant that is announced takes its room until it is withdrawn, and once however often it is announced', async () => {
  const taken = async () => {
    const { registry } = world.in('apac');
    const { tenants, business_tenants } = await registry.transaction((transaction) =>
      chooseCell(transaction, { tier: 'business', dataResidency: 'apac' }),
    );
    return [tenants, business_tenants];
  };
  const [tenants, schemas] = (await taken()) as [number, number];
  const tenantId = await world.addTenant();
  const roles: unknown[] = [];
  for (let attempt = 0; attempt < 2; attempt++) {
    const crossing = await world.cross(tenantId, 'us', 'apac');
    expect(await taken()).toEqual([tenants + 1, schemas + 1]);
    const routes = await world.rows('apac', 'tenant_database_routing', tenantId);
    expect(routes).toHaveLength(1);
    expect(routes[0]?.role_name).toBe(crossing.hop.target.roleName);
    roles.push(routes[0]?.role_name);
    await world.giveUp(crossing, 'us');
    expect(await taken()).toEqual([tenants, schemas]);
    expect(await world.rows('apac', 'tenant_database_routing', tenantId)).toEqual([]);
  }
  expect(new Set(roles).size).toBe(2);
});

/** Whatever is written to a tenant's rows while they are handed over goes to where they are afterwards, or nowhere. */
describe('during the hand-over', () => {
  /** Starts `write` after the target has the rows and before the source lets go of them. */
  async function meanwhile(crossing: Crossing, write: (registry: never) => Promise<unknown>) {
    const another = (await world.in('us').another()) as never;
    const source = world.in('us').registry;
    const seen = world.seenFrom('us');
    let outcome: Promise<unknown> | undefined;
    const target = {
      transaction: async (work: never) => {
        await seen.of('eu').transaction(work);
        let ended = false;
        outcome = write(another)
          .catch((error) => error)
          .finally(() => {
            ended = true;
          });
        while (!ended && !(await isWaitedFor(source)));
      },
    };
    const regions = { ...seen, of: () => target as never };
    await handOver(source as never, regions, crossing.hop, async () => {});
    return outcome;
  }

  async function isWaitedFor(transaction: RegistryExecutor): Promise<boolean> {
    const waiters = await transaction.query(
      `SELECT 1 AS waits FROM pg_locks
       WHERE NOT granted AND locktype = 'transactionid' AND transactionid = pg_current_xact_id()::xid`,
    );
    return waiters.length > 0;
  }

  test('a user is not deleted here and kept there', async () => {
    const tenantId = await world.addTenant();
    await furnish(tenantId);
    const [user] = (await world.rows('us', 'tenant_users', tenantId)) as { user_id: string }[];
    const crossing = await world.cross(tenantId, 'us', 'eu');
    const by = {
      actor: { id: 'operator@strata.test', type: 'operator' } as const,
      ifMatch: undefined,
    };
    const outcome = await meanwhile(crossing, (us) => deleteUser(us, tenantId, user!.user_id, by));
    expect(outcome).toBeInstanceOf(TenantBetweenRegions);
    expect(await world.rows('eu', 'tenant_users', tenantId)).toContainEqual(expect.objectContaining(user));
  });

  test.each(['accept', 'decline'])('an offer is not answered here and open there: %s', async (answer) => {
    const tenantId = await world.addTenant();
    const [offer] = await world.in('us').registry.query<{ id: string }>(
      `INSERT INTO tenant_offers (tenant_id, target_tier, reasons, figures)
       VALUES (:tenantId::uuid, 'enterprise', '[]', '{}') RETURNING offer_id::text AS id`,
      { tenantId },
    );
    const crossing = await world.cross(tenantId, 'us', 'eu');
    const target = { tenantReference: tenantId, offerId: offer!.id };
    const actor = 'operator@strata.test';
    let started = 0;
    const startMove = async () => {
      started += 1;
      throw new Error('the tenant is moving');
    };
    const outcome = await meanwhile(crossing, (us) =>
      answer === 'accept'
        ? acceptOffer(us, target, { actor, startMove })
        : declineOffer(us, target, { actor }),
    );
    expect(outcome).toBeInstanceOf(TenantBetweenRegions);
    expect(started).toBe(0);
    expect(await world.rows('eu', 'tenant_offers', tenantId)).toMatchObject([{ status: 'open' }]);
  });

  test('no sample is left with a tenant that has gone', async () => {
    const tenantId = await world.addTenant();
    const crossing = await world.cross(tenantId, 'us', 'eu');
    const measurement = {
      activeEmployees: 1,
      userCount: 1,
      assessmentCount: 0,
      storageBytes: 1,
      storage: null,
      databaseSizeBytes: 1,
      rowOperations: 1,
    };
    const sample = { tenantId, day: '2026-01-02', measurement };
    expect(await meanwhile(crossing, (us) => recordSample(us, sample))).toBe(false);
    expect(await world.rows('us', 'usage_samples', tenantId)).toEqual([]);
  });
});
