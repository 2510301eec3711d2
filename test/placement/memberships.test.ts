import { randomUUID } from 'node:crypto';
import { beforeEach, expect, test, vi } from 'vitest';
import { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { inTurn } from '../isolation/tenant-world.ts';
import { ownRegistry } from '../own-registry.ts';

const EMAIL = 'ada@people.test';

let registry: RegistryExecutor;
let tenantId: string;
let userId: string;
ownRegistry(async (database) => {
  registry = inTurn(await database.registry());
});
beforeEach(async () => {
  tenantId = randomUUID();
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region)
     VALUES (:tenantId::uuid, :tenantId, :tenantId, 'shared', 'starter', 'active', 'us')`,
    { tenantId },
  );
  const [user] = await registry.query<{ user_id: string }>(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')
     RETURNING user_id::text`,
    { tenantId, email: EMAIL },
  );
  userId = user!.user_id;
});

const setRole = (role: string) =>
  registry.query('UPDATE tenant_users SET role = :role WHERE user_id = :userId::uuid', { role, userId });

/** A registry whose answers are under way for a while: each waits for `arrival` after it was given. */
function distant(): { registry: RegistryExecutor; given: () => Promise<void>; arrive: () => void } {
  const gave = Promise.withResolvers<void>();
  const arrival = Promise.withResolvers<void>();
  return {
    registry: {
      async query(sql, parameters) {
        const rows = await registry.query(sql, parameters);
        gave.resolve();
        await arrival.promise;
        return rows as never;
      },
    },
    given: () => gave.promise,
    arrive: arrival.resolve,
  };
}

test('an answer that was under way for longer than it may be used is looked up again', async () => {
  const freshForMs = 100;
  const slow = distant();
  const directory = new TenantDirectory(slow.registry, { freshForMs });
  const begun = performance.now();
  const first = directory.member(tenantId, EMAIL);
  await slow.given();
  await setRole('viewer');
  await vi.waitUntil(() => performance.now() - begun > freshForMs, { interval: 5 });
  slow.arrive();
  // That request has begun before the change.
  expect(await first).toEqual({ userId, role: 'admin' });
  expect(await directory.member(tenantId, EMAIL)).toEqual({ userId, role: 'viewer' });
});

test('a container that has made a change uses it at once, also while a look-up of before is under way', async () => {
  const slow = distant();
  const directory = new TenantDirectory(slow.registry, { freshForMs: 60_000 });
  const before = directory.member(tenantId, EMAIL);
  await slow.given();
  await setRole('viewer');
  directory.learnMember(tenantId, EMAIL, { userId, role: 'viewer' });
  slow.arrive();
  expect(await before).toEqual({ userId, role: 'viewer' });
  expect(await directory.member(tenantId, EMAIL)).toEqual({ userId, role: 'viewer' });
  await registry.query('UPDATE tenant_users SET is_active = false WHERE user_id = :userId::uuid', { userId });
  directory.learnMember(tenantId, EMAIL, undefined);
  expect(await directory.member(tenantId, EMAIL)).toBeUndefined();
});
