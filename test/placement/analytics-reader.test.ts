import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';

/** The server has this name too, and the pool of a reader is another one than the writer's. */
const READER = 'localhost';

let world: World;
beforeAll(async () => {
  world = await createWorld(1, { pooled: false, patienceMs: 3_000 });
});
afterAll(() => world?.end());

const tenantOf = (model: string) =>
  world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;
const session = tenantSql.selectNoFrom(sql<number>`pg_catalog.pg_backend_pid()`.as('pid'));
const emails = tenantSql.selectFrom('employees').select('email');

const setReader = ({ tenantId }: WorldTenant, host: string | null) =>
  world.registry.query(
    'UPDATE tenant_database_routing SET read_replica_host = :host WHERE tenant_id = :tenantId::uuid',
    { host, tenantId },
  );

test.each(['shared', 'schema', 'dedicated'])(
  'analytics of a %s tenant are read from the reader, everything else from the writer',
  async (model) => {
    const tenant = tenantOf(model);
    await setReader(tenant, READER);
    const access = world.container().access(tenant);
    const [[writer]] = await access.batch('read', [session]);
    const [[reader]] = await access.batchForAnalytics([session]);
    expect(reader?.pid).not.toBe(writer?.pid);
    const [[again]] = await access.batch('read', [session]);
    expect(again?.pid).toBe(writer?.pid);
    await setReader(tenant, null);
    const [[without]] = await world.container().access(tenant).batchForAnalytics([session]);
    expect(without?.pid).toBeGreaterThan(0);
  },
);

test('a reader that cannot be reached costs no answer, and is not tried again at once', async () => {
  const tenant = tenantOf('schema');
  // Nothing listens there.
  await setReader(tenant, '127.0.0.9');
  const access = world.container().access(tenant);
  const [[writer]] = await access.batch('read', [session]);
  const [[first]] = await access.batchForAnalytics([session]);
  expect(first?.pid).toBe(writer?.pid);
  await setReader(tenant, null);
});

test('a reader whose placement has another epoch gives no answer: it may have missed a move', async () => {
  const tenant = tenantOf('dedicated');
  await setReader(tenant, READER);
  const owner = await tenant.database.connect('owner');
  // Both endpoints have the placement of before the move, as the reader has when it lags.
  await world.registry.query(
    'UPDATE tenant_database_routing SET epoch = epoch + 1 WHERE tenant_id = :tenantId::uuid',
    { tenantId: tenant.tenantId },
  );
  const earlier = await owner.query('SELECT pid FROM pg_stat_activity WHERE usename = $1', [
    tenant.login.user,
  ]);
  const before = earlier.rows.map(({ pid }) => pid);
  let answered = false;
  const asked = world
    .container()
    .access(tenant)
    .batchForAnalytics([emails])
    .then((rows) => {
      answered = true;
      return rows;
    });
  await expect
    .poll(async () => {
      const { rows } = await owner.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE usename = $1 AND pid <> ALL ($2)`,
        [tenant.login.user, before],
      );
      return rows[0].n;
    })
    // One session with the reader, which was refused, and one with the writer.
    .toBeGreaterThanOrEqual(2);
  expect(answered).toBe(false);
  await owner.query('UPDATE tenancy.placement SET epoch = epoch + 1 WHERE tenant_id = $1', [tenant.tenantId]);
  expect(await asked).toEqual([[]]);
  await owner.end();
});
