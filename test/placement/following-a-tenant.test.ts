import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WrongTenant } from '../../functions/database/errors.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { retriedRequests } from '../../functions/database/transfer/place-facts.ts';
import { TenantUnavailable } from '../../functions/placement/errors.ts';
import { until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { type Container, createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import type { TestDatabase } from '../test-database.ts';

let world: World;
let owner: pg.Client;
let tenant: WorldTenant;
let container: Container;
/** Of each database, the rows of `tenancy.placement` as they are between the tests. */
const placements = new Map<TestDatabase, unknown>();
beforeAll(async () => {
  world = await createWorld(1, { patienceMs: 1_500 });
  for (const { database } of world.tenants) placements.set(database, await placementsIn(database));
});
afterAll(() => world?.end());
beforeEach(async () => {
  container = world.container();
  owner = await world.cell.connect('owner');
  tenant = of('schema');
});
/** Every tenant is where it was, without rows and without a fence. */
afterEach(async () => {
  await container.end();
  for (const { tenantId, schemaName, database } of world.tenants) {
    const superuser = await database.connect('superuser');
    const before = JSON.stringify(placements.get(database));
    await superuser.query(
      `UPDATE tenancy.placement p SET (epoch, state, role_name, previous_role_name, forward, fence_token, fence_expires_at) =
         (b.epoch, b.state, b.role_name, b.previous_role_name, b.forward, b.fence_token, b.fence_expires_at)
       FROM jsonb_populate_recordset(NULL::tenancy.placement, $1) b WHERE b.tenant_id = p.tenant_id`,
      [before],
    );
    await superuser.query(`DELETE FROM ${schemaName}.employees; DELETE FROM tenancy.retried_requests`);
    await superuser.end();
    await world.registry.query(
      'UPDATE tenant_database_routing SET epoch = 1 WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
  }
});

async function placementsIn(database: TestDatabase): Promise<unknown> {
  const superuser = await database.connect('superuser');
  const { rows } = await superuser.query('SELECT jsonb_agg(p) AS rows FROM tenancy.placement p');
  await superuser.end();
  return rows[0].rows;
}

const of = (model: string): WorldTenant => {
  const found = world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;
  return { ...found, access: container.access(found) };
};
const emails = tenantSql.selectFrom('employees').select('email');
const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' });
const fence = (expiresIn: string) =>
  owner.query(
    `UPDATE tenancy.placement SET state = 'fenced', fence_token = $2, fence_expires_at = clock_timestamp() + $3::interval
     WHERE tenant_id = $1`,
    [tenant.tenantId, randomUUID(), expiresIn],
  );
const unfence = () =>
  owner.query(
    `UPDATE tenancy.placement SET state = 'active', fence_token = NULL, fence_expires_at = NULL WHERE tenant_id = $1`,
    [tenant.tenantId],
  );

describe('a request while its tenant moves', () => {
  test('a write waits behind a fence and succeeds after it; reads go on meanwhile', async () => {
    await tenant.access.batch('write', [add('before@x.test')]);
    await fence('5s');
    let written = false;
    const write = tenant.access.batch('write', [add('after@x.test')]).then(() => {
      written = true;
    });
    for (let n = 0; n < 5; n++) {
      const [rows] = await tenant.access.batch('read', [emails]);
      expect(rows).toEqual([{ email: 'before@x.test' }]);
    }
    expect(written).toBe(false);
    await unfence();
    await write;
    expect((await tenant.access.batch('read', [emails]))[0]).toHaveLength(2);
  });

  test('a request that was run again because of a move is counted, any other is not', async () => {
    await tenant.access.batch('write', [add('undisturbed@x.test')]);
    // Both stand behind the mover's question for the lock, and so meet the fence that it leaves.
    await owner.query('BEGIN');
    await owner.query('SELECT pg_advisory_xact_lock(tenancy.lock_key($1))', [tenant.tenantId]);
    const writes = ['a', 'b'].map((name) => tenant.access.batch('write', [add(`${name}@x.test`)]));
    await until(async () => {
      const { rows } = await owner.query(
        `SELECT count(*)::int AS waiting FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()`,
      );
      return rows[0].waiting === 2;
    });
    await fence('5s');
    await owner.query('COMMIT');
    // Until both have met it: from their wait for the lock to the fence's refusal they are one statement.
    await until(async () => {
      const { rows } = await owner.query(
        `SELECT count(*)::int AS active FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend' AND state = 'active'
           AND pid <> pg_backend_pid()`,
      );
      return rows[0].active === 0;
    });
    await unfence();
    await Promise.all(writes);
    expect(await retriedRequests(owner, tenant.tenantId, [1])).toBe(2);
    const stranger = of('dedicated');
    await expect(
      world.cell
        .connect(stranger.login)
        .then((client) => client.query('SELECT tenancy.note_retry($1, 1)', [tenant.tenantId])),
    ).resolves.toBeDefined();
    expect(await retriedRequests(owner, tenant.tenantId, [1])).toBe(2);
  });

  test('a fence that outlasts the request’s patience ends in "unavailable", and nothing is written', async () => {
    await fence('1h');
    await expect(tenant.access.batch('write', [add('never@x.test')])).rejects.toThrow(TenantUnavailable);
    expect((await tenant.access.batch('read', [emails]))[0]).toEqual([]);
  });

  test.each(sampled(['shared'], ['shared', 'schema', 'dedicated']))(
    'a %s tenant that cannot write takes no more than its share of waiting requests',
    async (model) => {
      tenant = of(model);
      owner = await tenant.database.connect('owner');
      const other = of(model === 'shared' ? 'schema' : 'shared');
      await fence('30s');
      const begin = performance.now();
      const refusedAfter: number[] = [];
      const writes = Array.from({ length: 60 }, (_, n) =>
        tenant.access.batch('write', [add(`${n}@x.test`)]).catch((error: unknown) => {
          expect(error).toBeInstanceOf(TenantUnavailable);
          refusedAfter.push(performance.now() - begin);
        }),
      );
      // Those that found no room are refused while the others wait.
      await expect.poll(() => refusedAfter.length).toBeGreaterThanOrEqual(30);
      expect(Math.max(...refusedAfter)).toBeLessThan(1_400);
      await other.access.batch('write', [add('other@x.test')]);
      expect((await tenant.access.batch('read', [emails]))[0]).toEqual([]);
      await Promise.all(writes);
      expect(refusedAfter).toHaveLength(60);

      // They waited in vain: who comes now is refused at once, and served at once when the fence is gone.
      const again = performance.now();
      await expect(tenant.access.batch('write', [add('again@x.test')])).rejects.toThrow(TenantUnavailable);
      expect(performance.now() - again).toBeLessThan(1_000);
      await unfence();
      await tenant.access.batch('write', [add('served@x.test')]);
      expect((await tenant.access.batch('read', [emails]))[0]).toEqual([{ email: 'served@x.test' }]);
    },
  );

  test('the fence of a dead mover is cleared by the next writer', async () => {
    await fence('-1s');
    await tenant.access.batch('write', [add('after@x.test')]);
    const { rows } = await owner.query('SELECT state FROM tenancy.placement WHERE tenant_id = $1', [
      tenant.tenantId,
    ]);
    expect(rows).toEqual([{ state: 'active' }]);
  });

  test('a stale epoch is refreshed from the registry, and the transaction runs once', async () => {
    await tenant.access.batch('read', [emails]);
    await owner.query('UPDATE tenancy.placement SET epoch = 2 WHERE tenant_id = $1', [tenant.tenantId]);
    await world.registry.query(
      'UPDATE tenant_database_routing SET epoch = 2 WHERE tenant_id = :tenantId::uuid',
      {
        tenantId: tenant.tenantId,
      },
    );
    await tenant.access.batch('write', [add('once@x.test')]);
    expect((await tenant.access.batch('read', [emails]))[0]).toEqual([{ email: 'once@x.test' }]);
  });

  test('a forward is followed to the new home, though the registry still tells the old one', async () => {
    await tenant.access.batch('read', [emails]);
    const home = await world.addHome(tenant, 2);
    await owner.query(
      `UPDATE tenancy.placement SET state = 'moved', epoch = 2, previous_role_name = role_name, forward = $2 WHERE tenant_id = $1`,
      [tenant.tenantId, JSON.stringify(home.forward)],
    );
    await tenant.access.batch('write', [add('new@x.test')]);
    const there = await home.database.connect('superuser');
    const { rows } = await there.query(`SELECT email FROM ${home.schemaName}.employees`);
    expect(rows).toEqual([{ email: 'new@x.test' }]);
  });

  test('a role that does not own the tenant is an alarm, not a reason to look elsewhere', async () => {
    await owner.query(`UPDATE tenancy.placement SET role_name = 'somebody_else' WHERE tenant_id = $1`, [
      tenant.tenantId,
    ]);
    await expect(tenant.access.batch('read', [emails])).rejects.toThrow(WrongTenant);
  });

  test('sessions that the server ended are replaced unnoticed', async () => {
    await tenant.access.batch('write', [add('one@x.test')]);
    const superuser = await world.cell.connect('superuser');
    await superuser.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [
      tenant.roleName,
    ]);
    expect((await tenant.access.batch('read', [emails]))[0]).toEqual([{ email: 'one@x.test' }]);
  });

  test('a transaction is run again as a whole when PostgreSQL asks for it', async () => {
    await tenant.access.batch('write', [add('a@x.test'), add('b@x.test')]);
    const rename = (from: string, to: string) =>
      tenantSql.updateTable('employees').set({ job_title: to }).where('email', '=', from);
    // Each takes one row and then wants the other's: one of them is a deadlock's victim, and comes again.
    let arrived = 0;
    let meet = () => {};
    const both = new Promise<void>((done) => {
      meet = done;
    });
    const inOrder = (first: string, second: string) =>
      tenant.access.transaction('write', async (transaction) => {
        await transaction.query(rename(first, first));
        arrived += 1;
        if (arrived === 2) meet();
        await both;
        await transaction.query(rename(second, first));
      });
    await Promise.all([inOrder('a@x.test', 'b@x.test'), inOrder('b@x.test', 'a@x.test')]);
    expect(arrived).toBe(3);
  });
});
