import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { createWorld, type World, type WorldTenant } from './tenant-world.ts';

let world: World;
let first: WorldTenant;
let second: WorldTenant;
beforeAll(async () => {
  // One server connection for the starter role: whoever comes next gets what the one before has left.
  world = await createWorld(2, { poolSize: 1 });
  [first, second] = world.tenants.filter(({ isolationModel }) => isolationModel === 'shared') as [
    WorldTenant,
    WorldTenant,
  ];
});
afterAll(() => world.end());

const statement = <Row>(builder: ReturnType<typeof sql<Row>>) => ({
  compile: () => builder.compile(tenantSql),
});
const backend = statement(sql<{ pid: number }>`SELECT pg_catalog.pg_backend_pid() AS pid`);
const emails = tenantSql.selectFrom('employees').select('email').orderBy('email');
const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' });

describe('two tenants on one backend connection', () => {
  test('each sees only its own rows, turn by turn', async (context) => {
    if (!world.pooled) return context.skip('pgbouncer is not installed');
    await first.access.batch('write', [add('first@x.test')]);
    await second.access.batch('write', [add('second@x.test')]);
    const pids = new Set<number>();
    for (let turn = 0; turn < 20; turn++) {
      const [tenant, own] = turn % 2 === 0 ? [first, 'first@x.test'] : [second, 'second@x.test'];
      const [[one], rows] = await tenant.access.batch('read', [backend, emails]);
      pids.add(one?.pid as number);
      expect(rows).toEqual([{ email: own }]);
    }
    expect(pids.size).toBe(1);
  });

  test('a transaction that fails leaves nothing of its tenant behind', async () => {
    await expect(
      first.access.batch('write', [add('first@x.test'), add('first@x.test')]),
    ).rejects.toMatchObject({
      code: '23505',
    });
    const [rows] = await second.access.batch('read', [emails]);
    expect(rows).not.toContainEqual({ email: 'first@x.test' });
  });

  test('a setting forged inside a tenant’s own statement opens no other tenant’s rows', async () => {
    const forge = statement(
      sql<{
        email: string;
      }>`SELECT email FROM employees, (SELECT pg_catalog.set_config('app.current_tenant', ${second.tenantId}, true)) AS forged`,
    );
    const [rows] = await first.access.batch('read', [forge]);
    expect(rows).not.toContainEqual({ email: 'second@x.test' });
    const [after] = await first.access.batch('read', [forge, emails]);
    expect(after).not.toContainEqual({ email: 'second@x.test' });
  });

  test('a statement cannot enter another tenant', async () => {
    const enter = statement(sql`SELECT tenancy.enter(${second.tenantId}::uuid, 1, 'read')`);
    await expect(first.access.batch('read', [enter, emails])).rejects.toThrow();
  });
});

describe('a role and what is not its own', () => {
  test('a Business role reads no other schema, no shared table and no placement', async () => {
    const [one, other] = world.tenants.filter(({ isolationModel }) => isolationModel === 'schema') as [
      WorldTenant,
      WorldTenant,
    ];
    const client = await world.cell.connect(one.login);
    for (const table of [`${other.schemaName}.employees`, 'shared.employees', 'tenancy.placement']) {
      await expect(client.query(`SELECT * FROM ${table}`)).rejects.toMatchObject({ code: '42501' });
    }
    for (const { tenantId } of [other, first]) {
      const enter = `BEGIN; SELECT tenancy.enter('${tenantId}', 1, 'write')`;
      await expect(client.query(enter)).rejects.toMatchObject({ code: 'TN004' });
      await client.query('ROLLBACK');
    }
    await expect(client.query(`SET ROLE ${other.roleName}`)).rejects.toMatchObject({ code: '42501' });
  });

  test('the starter role reads no tenant’s schema, and no shared row without entering', async () => {
    const [business] = world.tenants.filter(({ isolationModel }) => isolationModel === 'schema') as [
      WorldTenant,
    ];
    const client = await world.cell.connect('starter');
    await expect(client.query(`SELECT * FROM ${business.schemaName}.employees`)).rejects.toMatchObject({
      code: '42501',
    });
    await expect(client.query('SELECT * FROM shared.employees')).rejects.toMatchObject({ code: 'TN004' });
  });
});
