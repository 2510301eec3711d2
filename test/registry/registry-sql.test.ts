import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../functions/registry/registry-column.ts';
import { asNumber, columnValue, rfc3339 } from '../../functions/registry/registry-expressions.ts';
import { CompiledOnce, registrySql } from '../../functions/registry/registry-sql.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
let writer: RegistryOverPostgres;
ownRegistry(async (own) => {
  database = own;
  writer = await database.registry();
});

async function insertTenant(columns: object = {}): Promise<string> {
  const tenantId = randomUUID();
  await registrySql(writer)
    .insertInto('tenants')
    .values({
      tenant_id: tenantId,
      tenant_name: tenantId,
      tenant_slug: tenantId,
      home_region: 'us',
      isolation_model: 'shared',
      subscription_tier: 'starter',
      ...columns,
    })
    .execute();
  return tenantId;
}

describe('a value is cast to the type of its column', () => {
  test('where it is inserted, updated and compared; no query says so', async () => {
    const tenantId = await insertTenant({
      features: { flags: ['a'] },
      compliance_requirements: ['soc2'],
      monthly_revenue: 12.5,
      created_at: new Date('2026-01-02T03:04:05.678Z'),
      max_users: null,
    });
    const row = await registrySql(writer)
      .selectFrom('tenants as t')
      .select((eb) => [
        ...(['t.tenant_id', 't.features', 't.compliance_requirements', 't.max_users'] as const),
        rfc3339(eb.ref('t.created_at')).as('created_at'),
        rfc3339(eb.ref('t.created_at'), 'MS').as('in_milliseconds'),
        asNumber(eb.ref('t.monthly_revenue')).as('monthly_revenue'),
      ])
      .where('t.tenant_id', 'in', [tenantId, randomUUID()])
      .where('t.created_at', '<', columnValue('tenants.created_at', '2026-01-02T03:04:06Z'))
      .where((eb) =>
        eb(
          eb.refTuple('t.created_at', 't.tenant_id'),
          '>=',
          eb.tuple(columnValue('tenants.created_at', '2026-01-02T03:04:05Z'), tenantId),
        ),
      )
      .forUpdate('t')
      .executeTakeFirstOrThrow();
    expect({ ...row, features: row.features && parseJson(row.features) }).toEqual({
      tenant_id: tenantId,
      features: { flags: ['a'] },
      compliance_requirements: '["soc2"]',
      created_at: '2026-01-02T03:04:05.678000Z',
      in_milliseconds: '2026-01-02T03:04:05.678Z',
      max_users: null,
      monthly_revenue: 12.5,
    });
    const updated = await registrySql(writer)
      .updateTable('tenants')
      .set({ features: null, subscription_end_date: '2026-12-31', max_users: 5 })
      .where('tenant_id', '=', tenantId)
      .returning(['features', 'subscription_end_date', 'max_users'])
      .execute();
    expect(updated).toEqual([{ features: null, subscription_end_date: '2026-12-31', max_users: 5 }]);
  });

  test('of the right table, where two tables give a column of one name different types', async () => {
    const { sql: text } = registrySql(writer)
      .selectFrom('tenant_move_hops as h')
      .innerJoin('schema_rollout_targets as r', 'r.tenant_id', 'h.tenant_id')
      .select('h.move_id')
      .where('h.target', '@>', columnValue('tenant_move_hops.target', {}))
      .where('r.target', '=', 'cell a')
      .compile();
    expect(text).toContain(`"h"."target" @> :p1::jsonb and "r"."target" = :p2`);
  });

  test('of the table that is written, where INSERT takes the place of an existing row', async () => {
    const tenantId = await insertTenant();
    const insert = (users: number) =>
      registrySql(writer)
        .insertInto('usage_samples')
        .values({
          tenant_id: tenantId,
          sampled_on: '2026-01-02',
          active_users: users,
          active_employees: 0,
          storage_bytes: null,
        })
        .onConflict((row) =>
          row.columns(['tenant_id', 'sampled_on']).doUpdateSet({ active_users: users, storage_bytes: 9 }),
        )
        .returning(['active_users', 'storage_bytes', 'sampled_on'])
        .execute();
    expect(await insert(1)).toEqual([{ active_users: 1, storage_bytes: null, sampled_on: '2026-01-02' }]);
    expect(await insert(2)).toEqual([{ active_users: 2, storage_bytes: 9, sampled_on: '2026-01-02' }]);
  });

  test('and never guessed: an alias of two tables, an ambiguous column and a bare time are refused', async () => {
    const db = registrySql(writer);
    const ambiguous = db
      .selectFrom(['tenant_move_hops as h', 'schema_rollout_targets as r'])
      .select('h.move_id')
      .where(sql.ref<string>('target'), '=', 'x');
    expect(() => ambiguous.compile()).toThrow(/several types/);
    const twoTables = db
      .selectFrom('tenants as x')
      .select('x.tenant_id')
      .where((eb) => eb.exists(eb.selectFrom('cells as x').select('x.cell_id')));
    expect(() => twoTables.compile()).toThrow(/alias of two tables/);
    expect(() => sql`select ${new Date()}`.compile(db)).toThrow(/columnValue/);
  });
});

test('values and results of another type than the column are refused by the compiler of TypeScript', () => {
  const db = registrySql(writer);
  // @ts-expect-error a number is wanted
  columnValue('tenants.max_users', 'many');
  // @ts-expect-error no such column
  columnValue('tenants.shown_name', 'x');
  // @ts-expect-error a time is compared with a time, not with text that the Data API would bind as text
  db.selectFrom('tenants').select('tenant_id').where('created_at', '<', '2026-01-02');
  // @ts-expect-error no such status
  db.updateTable('tenants').set({ status: 'deleted' });
  const unsent = async () => {
    const row = await db.selectFrom('tenants').select('created_at').executeTakeFirstOrThrow();
    // @ts-expect-error a time has no zone here: it is selected as rfc3339(…)
    return row.created_at.slice(0, 10);
  };
  expect(unsent).toBeTypeOf('function');
});

describe('a statement that is compiled once', () => {
  test('runs with the values of each call, and keeps its constants', async () => {
    let built = 0;
    const byId = new CompiledOnce((db, { tenantId }: { tenantId: string }) => {
      built += 1;
      return db
        .selectFrom('tenants')
        .select('tenant_slug')
        .where('status', '=', 'provisioning')
        .where('tenant_id', '=', tenantId);
    });
    const tenants = [await insertTenant(), await insertTenant()];
    for (const tenantId of tenants)
      expect(await byId.run(writer, { tenantId })).toEqual([{ tenant_slug: tenantId }]);
    expect(await byId.run(writer, { tenantId: await insertTenant({ status: 'active' }) })).toEqual([]);
    expect(built).toBe(1);
  });

  test('takes no part of a value for SQL', async () => {
    const bySlug = new CompiledOnce((db, { slug }: { slug: string }) =>
      db.selectFrom('tenants').select('tenant_id').where('tenant_slug', '=', slug),
    );
    expect(await bySlug.run(writer, { slug: "' OR true --" })).toEqual([]);
  });
});

test('what the registry refuses reaches the caller as RegistryError', async () => {
  const reader = await database.registry('registryReader');
  const update = registrySql(reader).updateTable('tenants').set({ status: 'active' }).execute();
  await expect(update).rejects.toMatchObject({ name: 'RegistryError', sqlState: '42501' });
});
