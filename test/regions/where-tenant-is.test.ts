import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiEvent } from '../../functions/http/api-event.ts';
import { findInOtherRegions } from '../../functions/reconciliation/other-regions.ts';
import type { RegionalRegistries } from '../../functions/registry/regional-registries.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { getUser, listUsers } from '../../functions/registry/tenant-users.ts';
import { whereTenantIs } from '../../functions/registry/where-tenant-is.ts';
import {
  RegionUnavailable,
  ResourceNotFound,
  TenantBetweenRegions,
} from '../../functions/resources/errors.ts';
import { apiEvent } from './api-event.ts';
import { startTwoRegistries, type TwoRegistries } from './two-registries.ts';

type Key = 'us' | 'eu';
let two: TwoRegistries;
let registries: RegionalRegistries;
beforeAll(async () => {
  two = await startTwoRegistries();
  registries = two.registries('us');
});
afterAll(() => two?.plane.stop());

interface Moved {
  readonly tenantId: string;
  readonly userId: string;
  readonly moveId: string;
}

/** A tenant of `us` with one user and a move that is on its way to `eu`. */
async function addMoving(): Promise<Moved> {
  const ids = { tenantId: randomUUID(), userId: randomUUID(), moveId: randomUUID() };
  await put('us', ids.tenantId, 'active', 'us');
  await addUser('us', ids);
  await two.us.query(
    `INSERT INTO tenant_moves (move_id, tenant_id, input, plan, started_by)
     VALUES (:moveId::uuid, :tenantId::uuid, '{"targetResidency": "eu"}', '[]', 'test')`,
    { tenantId: ids.tenantId, moveId: ids.moveId },
  );
  return ids;
}

const put = (key: Key, id: string, status: string, region: Key) =>
  two[key].query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          data_residency, home_region)
     VALUES (:id::uuid, :id, :slug, 'schema', 'business', :status, :region, :region)
     ON CONFLICT (tenant_id) DO UPDATE
     SET status = excluded.status, data_residency = excluded.data_residency, home_region = excluded.home_region`,
    { id, slug: `t-${id.slice(0, 13)}`, status, region },
  );

const addUser = (key: Key, { tenantId, userId }: Moved) =>
  two[key].query(
    `INSERT INTO tenant_users (user_id, tenant_id, email, role)
     VALUES (:userId::uuid, :tenantId::uuid, 'a@moving.test', 'admin') ON CONFLICT DO NOTHING`,
    { tenantId, userId },
  );

/** As a move does it: announced there, then theirs with its users at once, then no longer ours. */
async function handOver(from: Key, to: Key, moved: Moved): Promise<void> {
  await put(to, moved.tenantId, 'arriving', to);
  await addUser(to, moved);
  await put(to, moved.tenantId, 'active', to);
  await put(from, moved.tenantId, 'elsewhere', to);
  await two[from].query('DELETE FROM tenant_users WHERE tenant_id = :tenantId::uuid', {
    tenantId: moved.tenantId,
  });
}

describe('a tenant that is handed over while an operator asks for it', () => {
  test('is read where it is now, though the look-up told of the registry that it left', async () => {
    const moved = await addMoving();
    const asked: string[] = [];
    const read = async (key: string) => {
      asked.push(key);
      if (asked.length === 1) await handOver('us', 'eu', moved);
      return getTenant(registries.of(key), moved.tenantId);
    };
    const found = await whereTenantIs(registries, moved.tenantId, read, { isRead: true });
    expect(found).toMatchObject({ status: 'active', region: 'eu' });
    expect(asked).toEqual(['us', 'eu']);
  });

  test.each(['listed', 'read'])('keeps its users: none is missed when they are %s', async (how) => {
    const moved = await addMoving();
    let handed = false;
    const read = (key: string): Promise<object> => {
      const registry = registries.of(key);
      // Between the statement that finds the tenant and the one that reads its users.
      const crossing = {
        ...registry,
        query: async (sql: string, parameters: never) => {
          const rows = await registry.query(sql, parameters);
          if (!handed) await handOver('us', 'eu', moved);
          handed = true;
          return rows;
        },
      } as unknown as typeof registry;
      return how === 'listed'
        ? listUsers(crossing, moved.tenantId, { limit: 10, cursor: undefined })
        : getUser(crossing, moved.tenantId, moved.userId);
    };
    const found = await whereTenantIs(registries, moved.tenantId, read, { isRead: true });
    const user = { userId: moved.userId, tenantId: moved.tenantId };
    expect(found).toMatchObject(how === 'listed' ? { items: [user] } : user);
  });

  test('is changed once, in the registry that has it', async () => {
    const moved = await addMoving();
    const done: string[] = [];
    const change = async (key: string) => {
      if (!done.includes('handed')) {
        await handOver('us', 'eu', moved);
        done.push('handed');
      }
      await getTenant(registries.of(key), moved.tenantId, { lock: true });
      done.push(key);
      return key;
    };
    expect(await whereTenantIs(registries, moved.tenantId, change, { isRead: false })).toBe('eu');
    expect(done).toEqual(['handed', 'eu']);
  });

  test('is waited for until the registries agree, for a bounded time', async () => {
    const tenantId = randomUUID();
    await put('us', tenantId, 'elsewhere', 'eu');
    await put('eu', tenantId, 'elsewhere', 'us');
    const read = (key: string) => getTenant(registries.of(key), tenantId);
    const asking = whereTenantIs(registries, tenantId, read, { isRead: true, patienceMs: 100 });
    await expect(asking).rejects.toBeInstanceOf(TenantBetweenRegions);
    const waiting = whereTenantIs(registries, tenantId, read, { isRead: true });
    await put('us', tenantId, 'active', 'us');
    expect(await waiting).toMatchObject({ tenantId, region: 'us' });
  });
});

test('what is nowhere is not waited for', async () => {
  const moved = await addMoving();
  const reads: string[] = [];
  const read = async (key: string) => {
    reads.push(key);
    return getUser(registries.of(key), moved.tenantId, randomUUID());
  };
  const asking = whereTenantIs(registries, moved.tenantId, read, { isRead: true });
  await expect(asking).rejects.toBeInstanceOf(ResourceNotFound);
  expect(reads).toEqual(['us']);
  const unknown = whereTenantIs(registries, randomUUID(), read, { isRead: true });
  await expect(unknown).rejects.toBeInstanceOf(ResourceNotFound);
});

test('clients that poll see every answer while the tenant goes to and fro', async () => {
  Object.assign(process.env, two.environment('us'));
  const { handler } = await import('../../functions/api/tenants/handler.ts');
  const call = handler as unknown as (event: ApiEvent, context: Context) => Promise<{ statusCode: number }>;
  const claims = { sub: 'operator', scope: 'strata/operator', email: 'operator@strata.test' };
  const moved = await addMoving();
  const routeKeys = [
    'GET /tenants/{tenantId}',
    'GET /tenants/{tenantId}/moves',
    'GET /tenants/{tenantId}/moves/{moveId}',
    'GET /tenants/{tenantId}/users/{userId}',
  ];
  let over = false;
  const poll = async (routeKey: string) => {
    const refused: unknown[] = [];
    while (!over) {
      const answer = await call(apiEvent({ routeKey, claims, pathParameters: { ...moved } }), {} as Context);
      if (answer.statusCode !== 200) refused.push([routeKey, answer]);
    }
    return refused;
  };
  const polls = Promise.all(routeKeys.map(poll));
  for (let round = 0; round < 8; round++) {
    await handOver('us', 'eu', moved);
    await handOver('eu', 'us', moved);
  }
  over = true;
  expect((await polls).flat()).toEqual([]);
});

test('reconciliation of a region knows which tenants another region has, or is about to have', async () => {
  const [active, arriving, elsewhere, unknown] = Array.from({ length: 4 }, () => randomUUID()) as [
    string,
    string,
    string,
    string,
  ];
  await put('us', active, 'active', 'us');
  await put('us', arriving, 'arriving', 'us');
  await put('us', elsewhere, 'elsewhere', 'eu');
  const ids = [active, arriving, elsewhere, unknown];
  expect(await findInOtherRegions(two.registries('eu'), ids)).toEqual(
    new Map([
      [active, 'us'],
      [arriving, 'us'],
    ]),
  );
  expect(await findInOtherRegions(registries, ids)).toEqual(new Map());
  await expect(findInOtherRegions(two.registries('eu', { down: true }), ids)).rejects.toThrow(
    RegionUnavailable,
  );
});
