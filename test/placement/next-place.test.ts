import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { createWorld, type Home, type World, type WorldTenant } from '../isolation/tenant-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld(2, { pooled: false });
});
afterAll(() => world?.end());

const names = tenantSql.selectFrom('teams').select('team_name');

/** A move of the tenant, in that phase, to another database. */
async function addMove(tenant: WorldTenant, { forward }: Home, phase: string, region = 'us'): Promise<void> {
  const { tenantId } = tenant;
  const moveId = randomUUID();
  const {
    database_host: host,
    database_port: port,
    database_name: database,
    secret_arn: secretArn,
  } = forward;
  await world.registry.query(
    `INSERT INTO tenant_moves (move_id, tenant_id, phase, input, plan, started_by)
     VALUES (:moveId::uuid, :tenantId::uuid, :phase, '{}', '[]', 'test')`,
    { moveId, tenantId, phase },
  );
  await world.registry.query(
    `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, suffix, source, target)
     VALUES (:moveId::uuid, 0, :tenantId::uuid, 'relocate', '2a1', '{}', :target::jsonb)`,
    { moveId, tenantId, target: { region, host, port, database, secretArn, poolSize: 4 } },
  );
}
const advance = ({ tenantId }: WorldTenant, phase: string) =>
  world.registry.query('UPDATE tenant_moves SET phase = :phase WHERE tenant_id = :tenantId::uuid', {
    tenantId,
    phase,
  });

/** As which role the tenant will be at another place: a Starter tenant gets one of its own. */
function atNextPlace(tenant: WorldTenant): WorldTenant {
  if (tenant.isolationModel !== 'shared') return tenant;
  const name = `tenant_${tenant.tenantId.replaceAll('-', '')}_e2`;
  const login = { user: name, password: tenant.login.password };
  world.addLogin(login);
  return { ...tenant, schemaName: name, roleName: name, login };
}

/** Sessions of the tenant's role in a database. */
async function sessionsIn({ database }: Home, { login }: WorldTenant): Promise<number[]> {
  const superuser = await database.connect('superuser');
  const { rows } = await superuser.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_activity WHERE datname = $1 AND usename = $2',
    [database.name, login.user],
  );
  await superuser.end();
  return rows.map(({ pid }) => pid);
}

describe.each(['shared', 'schema', 'dedicated'] as const)('a container that serves a %s tenant', (model) => {
  test('connects to the place that its move has filled before it takes the tenant there, and once', async () => {
    const tenant = world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;
    const there = atNextPlace(tenant);
    const home = await world.addHome(there, 2);
    await addMove(tenant, home, 'copy');
    const access = world.container({ freshForMs: 1, regionKey: 'us' }).access(tenant);
    await access.batch('read', [names]);
    expect(await sessionsIn(home, there)).toEqual([]);
    await advance(tenant, 'catch-up');
    await expect
      .poll(async () => {
        await access.batch('read', [names]);
        return (await sessionsIn(home, there)).length;
      })
      .toBe(1);
    for (let n = 0; n < 3; n++) await access.batch('read', [names]);
    expect(await sessionsIn(home, there)).toHaveLength(1);
  });

  test('does not connect to another region, and needs no place that can be reached', async () => {
    const [, tenant] = world.tenants.filter(({ isolationModel }) => isolationModel === model) as [
      WorldTenant,
      WorldTenant,
    ];
    const there = atNextPlace(tenant);
    const home = await world.addHome(there, 2);
    await addMove(tenant, home, 'catch-up', 'eu');
    const access = world.container({ freshForMs: 1, regionKey: 'us' }).access(tenant);
    await access.batch('read', [names]);
    await world.registry.query(
      `UPDATE tenant_move_hops SET target = target || '{"region": "us", "port": 1}'
       WHERE tenant_id = :tenantId::uuid`,
      { tenantId: tenant.tenantId },
    );
    await access.batch('read', [names]);
    await access.batch('write', [tenantSql.insertInto('teams').values({ team_name: 'here' })]);
    expect(await sessionsIn(home, there)).toEqual([]);
  });
});

test.each([
  {
    what: 'its role may not look at moves',
    part: 'tenant_moves',
    refusal: 'insufficient_privilege',
    asks: 3,
  },
  { what: 'tenants have no limits of requests', part: 'request_rate', refusal: 'undefined_column', asks: 2 },
])('while $what yet, a container finds its tenants all the same', async ({ part, refusal, asks }) => {
  const [tenant] = world.tenants as [WorldTenant];
  const { query } = world.registry;
  const asked: string[] = [];
  world.registry.query = (async (sql: string, parameters: never) => {
    asked.push(sql);
    if (!sql.includes(part)) return query(sql, parameters);
    // PostgreSQL's own refusal, of a registry that an earlier release has made.
    return query(`DO $$ BEGIN RAISE ${refusal}; END $$`);
  }) as typeof query;
  try {
    const access = world.container().access(tenant);
    await access.batch('read', [names]);
  } finally {
    world.registry.query = query;
  }
  expect(asked).toHaveLength(asks);
});
