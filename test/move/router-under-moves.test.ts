/**
 * What containers that serve requests live through while a tenant moves, with the placement protocol of production and
 * the simplest of copies: inside the commit itself.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  createTenantSchema,
  dropTenantSchema,
  tenantSchemaName,
} from '../../functions/database/provisioning/tenant-schema.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { type Attempt, claimTenant, releaseClaim } from '../../functions/database/transfer/claim.ts';
import { WritersBusy } from '../../functions/database/transfer/errors.ts';
import {
  commitReshape,
  lowerFence,
  raiseFence,
  withoutWriters,
} from '../../functions/database/transfer/fence.ts';
import { enterTenant } from '../enter-tenant.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';

let world: World;
let owner: pg.Client;
let tenant: WorldTenant;
beforeAll(async () => {
  world = await createWorld(0, { pooled: false, patienceMs: 5_000 });
  owner = await world.cell.connect('owner');
});
afterAll(() => world?.end());
beforeEach(async () => {
  tenant = await world.addTenant('schema');
});

const emails = tenantSql.selectFrom('employees').select('email').orderBy('email');
const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' });
const attemptAt = (epoch: number): Attempt => ({ tenantId: tenant.tenantId, epoch, attemptId: randomUUID() });

/** Takes the tenant from its schema of that epoch to a new one; answers when it was committed. */
async function move(epoch: number): Promise<void> {
  const [from, to] = [epoch, epoch + 1].map((each) => tenantSchemaName(tenant.tenantId, each)) as [
    string,
    string,
  ];
  const login = { user: to, password: `password of ${to}` };
  world.addLogin(login);
  const next = { tenantId: tenant.tenantId, schemaName: to, roleName: to };
  await createTenantSchema(owner, { ...next, password: login.password, connectionLimit: 20 });
  const attempt = attemptAt(epoch);
  await claimTenant(owner, attempt);
  const fence = await raiseFence(owner, attempt);
  const forward = {
    epoch: epoch + 1,
    isolation_model: 'schema',
    region: 'us',
    secret_arn: to,
    database_host: '127.0.0.1',
    database_port: world.cell.server.port,
    database_name: world.cell.name,
  };
  await withoutWriters(owner, tenant.tenantId, async () => {
    await owner.query(`INSERT INTO ${to}.employees SELECT * FROM ${from}.employees`);
    await commitReshape(owner, attempt, fence, { ...next, isolationModel: 'schema', forward });
  });
  await releaseClaim(owner, attempt);
}

/** What the registry is told after a move, a moment later than the databases. */
async function registryFollows(epoch: number): Promise<void> {
  await world.registry.query(
    `UPDATE tenant_database_routing SET epoch = :epoch::bigint, schema_name = :name, role_name = :name,
            secret_arn = :name WHERE tenant_id = :tenantId::uuid AND epoch < :epoch::bigint`,
    { tenantId: tenant.tenantId, epoch, name: tenantSchemaName(tenant.tenantId, epoch) },
  );
}

test('a container with a stale cache is forwarded, while the registry still tells the old place', async () => {
  const other = world.container({ freshForMs: 3_600_000 }).access(tenant);
  await other.batch('write', [add('a@x.test')]);
  await move(1);
  await tenant.access.batch('write', [add('b@x.test')]);
  const [seen] = await other.batch('read', [emails]);
  expect(seen.map(({ email }) => email)).toEqual(['a@x.test', 'b@x.test']);
  await other.batch('write', [add('c@x.test')]);
  expect((await tenant.access.batch('read', [emails]))[0]).toHaveLength(3);
});

test('a container frozen since before two moves, whose role and schema are gone, finds the tenant again', async () => {
  const frozen = world.container({ freshForMs: 3_600_000 }).access(tenant);
  await frozen.batch('write', [add('a@x.test')]);
  for (const epoch of [1, 2]) {
    await move(epoch);
    await registryFollows(epoch + 1);
    const name = tenantSchemaName(tenant.tenantId, epoch);
    await dropTenantSchema(owner, { tenantId: tenant.tenantId, schemaName: name, roleName: name });
  }
  await frozen.batch('write', [add('b@x.test')]);
  expect((await frozen.batch('read', [emails]))[0]).toHaveLength(2);
});

test('requests in flight at the commit point all succeed, and what they wrote is there once', async () => {
  const containers = [1, 2, 3].map(() => world.container({ freshForMs: 50 }).access(tenant));
  const written: string[] = [];
  let moving = true;
  const clients = containers.flatMap((access, client) =>
    ['x', 'y'].map(async (name) => {
      for (let n = 0; moving || n < 5; n++) {
        const email = `${name}${client}-${n}@x.test`;
        await access.batch('write', [add(email)]);
        written.push(email);
        const [rows] = await access.batch('read', [emails.where('email', '=', email)]);
        expect(rows, email).toHaveLength(1);
      }
    }),
  );
  for (const epoch of [1, 2, 3]) {
    await move(epoch);
    await registryFollows(epoch + 1);
  }
  moving = false;
  await Promise.all(clients);
  const [rows] = await tenant.access.batch('read', [emails]);
  expect(rows.map(({ email }) => email)).toEqual(written.sort());
});

test('a long read transaction keeps its rows across the commit point; the next one sees the new place', async () => {
  await tenant.access.batch('write', [add('a@x.test')]);
  const seen = await tenant.access.transaction('read', async (transaction) => {
    const before = await transaction.query(emails);
    await move(1);
    await world
      .container()
      .access(tenant)
      .batch('write', [add('b@x.test')]);
    return [before, await transaction.query(emails)];
  });
  expect(seen).toEqual([[{ email: 'a@x.test' }], [{ email: 'a@x.test' }]]);
  expect((await tenant.access.batch('read', [emails]))[0]).toHaveLength(2);
});

test('a writer that holds its transaction open puts off the move, and nobody else waits for it', async () => {
  const open = await world.cell.connect(tenant.login);
  await enterTenant(open, tenant, 'write');
  await open.query(`INSERT INTO employees (email, first_name, last_name) VALUES ('open@x.test', 'A', 'B')`);
  const attempt = attemptAt(1);
  await claimTenant(owner, attempt);
  const fencing = raiseFence(owner, attempt, { patienceMs: 600 });
  const refused = expect(fencing).rejects.toThrow(WritersBusy);
  let slowest = 0;
  for (let n = 0; n < 20; n++) {
    const start = performance.now();
    await tenant.access.batch('write', [add(`${n}@x.test`)]);
    slowest = Math.max(slowest, performance.now() - start);
  }
  await refused;
  // A mover asks for the lock for a tenth of a second at a time; newcomers queue behind it no longer than that.
  expect(slowest).toBeLessThan(1_000);
  await open.query('COMMIT');
  const fence = await raiseFence(owner, attempt);
  await lowerFence(owner, attempt, fence);
  await releaseClaim(owner, attempt);
  await move(1);
  expect((await tenant.access.batch('read', [emails]))[0]).toHaveLength(21);
});

test('a mover that wakes up behind another one’s fence can neither raise, lower nor flip', async () => {
  const frozen = attemptAt(1);
  await claimTenant(owner, frozen);
  const stale = await raiseFence(owner, frozen, { seconds: 0.05 });
  const next = { isolationModel: 'schema', schemaName: 'x', roleName: 'x', forward: {} } as const;
  const flip = () => withoutWriters(owner, tenant.tenantId, () => commitReshape(owner, frozen, stale, next));
  // A writer clears the fence when it has run out.
  await tenant.access.batch('write', [add('a@x.test')]);
  await expect(flip()).rejects.toMatchObject({ name: 'FenceLost' });
  const fresh = await raiseFence(owner, frozen);
  expect(fresh.token).not.toBe(stale.token);
  await expect(flip()).rejects.toMatchObject({ name: 'FenceLost' });
  await lowerFence(owner, frozen, stale);
  const { rows } = await owner.query('SELECT state FROM tenancy.placement WHERE tenant_id = $1', [
    tenant.tenantId,
  ]);
  expect(rows).toEqual([{ state: 'fenced' }]);
  await lowerFence(owner, frozen, fresh);
  await releaseClaim(owner, frozen);
  await expect(raiseFence(owner, frozen)).rejects.toMatchObject({ name: 'ClaimLost' });
});
