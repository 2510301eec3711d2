import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { employeeRoutes } from '../../functions/api/people/employee-routes.ts';
import type { TenantContext } from '../../functions/http/resolve-tenant.ts';
import { tenantApi } from '../../functions/http/tenant-api.ts';
import { TenantUnavailable } from '../../functions/placement/errors.ts';
import type { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { createWorld, inTurn, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import { apiEvent } from '../regions/api-event.ts';

const EMAIL = 'a@b.test';
const PATIENCE = 150;
const LOOK_UP_LIMIT = 400;

let world: World;
let directory: TenantDirectory;
let request: (tenant: WorldTenant, method?: 'GET' | 'POST') => Promise<number>;
/** The containers' one, which fails; the test itself uses the world's. */
let registry: RegistryExecutor;
/** The session of the containers' registry. */
let registryPid: number;

beforeAll(async () => {
  world = await createWorld(1);
  for (const { tenantId } of world.tenants) {
    await world.registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')`,
      { tenantId, email: EMAIL },
    );
  }
});
afterAll(() => world?.end());
beforeEach(async () => {
  registry = inTurn(await world.ownRegistry());
  const [session] = await registry.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  registryPid = session?.pid as number;
  useContainer();
});
afterEach(async () => {
  // A stopped session could not be dropped with its database.
  answerAgain();
  await setActive(true);
  await world.registry.query("UPDATE tenants SET status = 'active'");
});

/** A container in which every answer is stale at once, so that every request asks. */
function useContainer(options: { staleForMs?: number } = {}): void {
  const { router, ...container } = world.container({
    freshForMs: 0,
    patienceMs: PATIENCE,
    lookUpLimitMs: LOOK_UP_LIMIT,
    registry,
    ...options,
  });
  directory = container.directory;
  const routes = { 'GET /employees': employeeRoutes.list, 'POST /employees': employeeRoutes.create };
  const handler = tenantApi(routes, () => ({ directory, router, domains: [] }));
  request = async ({ tenantId }, method = 'GET') => {
    const body = { email: `${randomUUID()}@x.test`, firstName: 'A', lastName: 'B' };
    const claims = { sub: 'u', email: EMAIL, tenant_id: tenantId };
    const event = apiEvent({
      routeKey: `${method} /employees`,
      claims,
      ...(method === 'POST' ? { body } : {}),
    });
    const { statusCode, headers } = await handler(event, {} as TenantContext & Context);
    if (statusCode === 503) expect(headers?.['retry-after']).toBe('2');
    return statusCode as number;
  };
}

const hang = () => process.kill(registryPid, 'SIGSTOP');
const answerAgain = () => {
  try {
    process.kill(registryPid, 'SIGCONT');
  } catch {
    // It was killed.
  }
};
async function kill(): Promise<void> {
  const superuser = await world.cell.connect('superuser');
  await superuser.query('SELECT pg_terminate_backend($1, 5000)', [registryPid]);
}
const setActive = (isActive: boolean) =>
  world.registry.query('UPDATE tenant_users SET is_active = :isActive', { isActive });

describe.each(['hangs', 'is killed'])('while the registry %s', (how) => {
  const fail = async () => {
    if (how === 'hangs') hang();
    else await kill();
  };

  test('cached tenants of every model are served, and only the first request waits for it', async () => {
    for (const tenant of world.tenants) expect(await request(tenant)).toBe(200);
    await fail();
    const [first] = world.tenants as [WorldTenant];
    expect(await request(first)).toBe(200);
    const begin = performance.now();
    for (const tenant of world.tenants) {
      expect(await request(tenant)).toBe(200);
      expect(await request(tenant, 'POST')).toBe(201);
    }
    expect(performance.now() - begin).toBeLessThan(LOOK_UP_LIMIT * 2);
  });

  test('a removed user is not let back in', async () => {
    for (const tenant of world.tenants) expect(await request(tenant)).toBe(200);
    await setActive(false);
    for (const tenant of world.tenants) expect(await request(tenant)).toBe(403);
    await fail();
    for (let round = 0; round < 3; round++) {
      for (const tenant of world.tenants) {
        expect(await request(tenant)).toBe(403);
        expect(await request(tenant, 'POST')).toBe(403);
      }
    }
  });

  test('a suspended tenant, one that has left and one that is not known stay so', async () => {
    const [suspended, gone] = world.tenants as [WorldTenant, WorldTenant];
    const unknown = randomUUID();
    for (const [tenant, status] of [
      [suspended, 'suspended'],
      [gone, 'offboarded'],
    ] as const) {
      expect(await request(tenant)).toBe(200);
      await world.registry.query('UPDATE tenants SET status = :status WHERE tenant_id = :tenantId::uuid', {
        status,
        tenantId: tenant.tenantId,
      });
      expect(await request(tenant)).toBe(403);
    }
    expect(await directory.byId(unknown)).toBeUndefined();
    await fail();
    for (let round = 0; round < 3; round++) {
      expect(await request(suspended)).toBe(403);
      expect(await request(gone)).toBe(403);
      expect(await directory.byId(unknown)).toBeUndefined();
    }
  });

  test('a tenant that is not cached is a 503 within the limit', async () => {
    await fail();
    const [tenant] = world.tenants as [WorldTenant];
    const begin = performance.now();
    expect(await request(tenant)).toBe(503);
    expect(performance.now() - begin).toBeLessThan(LOOK_UP_LIMIT * 3);
  });

  test('what was known serves for a bounded time', async () => {
    useContainer({ staleForMs: 0 });
    const [tenant] = world.tenants as [WorldTenant];
    expect(await request(tenant)).toBe(200);
    await fail();
    expect(await request(tenant)).toBe(503);
  });
});

test('after the registry has hung, a change in it shows again', async () => {
  const [tenant] = world.tenants as [WorldTenant];
  expect(await request(tenant)).toBe(200);
  hang();
  expect(await request(tenant)).toBe(200);
  answerAgain();
  await setActive(false);
  await expect.poll(() => request(tenant)).toBe(403);
});

test('a placement that a forward told does not make an old answer young', async () => {
  useContainer({ staleForMs: 0 });
  const [tenant] = world.tenants as [WorldTenant];
  const entry = await directory.byId(tenant.tenantId);
  hang();
  if (entry?.placement) directory.learn({ ...entry.placement, epoch: 2 });
  await expect(directory.byId(tenant.tenantId)).rejects.toThrow(TenantUnavailable);
});
