/** A tenant of some size: what has arrived is what it left, table by table, and its schema is as any other. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { FULL_RUN } from '../full-run.ts';
import { createRelocationWorld, type RelocationWorld } from './relocation-world.ts';
import { runRelocation } from './run-relocation.ts';

let world: RelocationWorld;
beforeAll(async () => {
  world = await createRelocationWorld();
});
afterAll(() => world?.end());

const ROWS = FULL_RUN ? 100_000 : 2_000;

/**
 * Everything about a schema in which two of them can differ, without their names. Without the positions of columns: a column
 * that a migration has added is the last one, and nothing addresses columns by position.
 */
const DESCRIPTION = `
  select format('column %s.%s %s %s %s', c.relname, a.attname, a.atttypid, a.attnotnull, a.attislocal) as line
  from pg_attribute a join pg_class c on c.oid = a.attrelid
  where c.relnamespace = $1::text::regnamespace and c.relkind = 'r' and a.attnum > 0
  union all select format('constraint %s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), coninhcount,
                          conislocal)
  from pg_constraint where connamespace = $1::text::regnamespace
  union all select format('index %s', indexdef) from pg_indexes where schemaname = $1::text
  union all select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = tgrelid
  where c.relnamespace = $1::text::regnamespace and not tgisinternal
  union all select format('table %s %s %s', relname, relkind, relispartition) from pg_class
  where relnamespace = $1::text::regnamespace
  order by 1`;

test(`${ROWS} rows arrive as they were, in a schema like any other`, {
  timeout: 180_000,
}, async () => {
  const tenant = await world.addTenant();
  const source = await world.x.connect('owner');
  const { schemaName } = tenant.place;
  await source.query(
    `INSERT INTO ${schemaName}.employees (email, first_name, last_name, job_title, department, profile_data)
     SELECT n || '@x.test', 'First ' || n, 'Last ' || n, 'Engineer', 'D' || n % 50, jsonb_build_object('n', n)
     FROM generate_series(1, $1::integer * 6 / 10) n`,
    [ROWS],
  );
  await source.query(
    `INSERT INTO ${schemaName}.audit_log (action, resource_type, actor, request_data)
     SELECT 'update', 'employee', 'a' || n, jsonb_build_object('n', n) FROM generate_series(1, $1::integer * 3 / 10) n`,
    [ROWS],
  );
  await source.query(
    `INSERT INTO ${schemaName}.idempotency_keys (idempotency_key, request_method, request_path, request_hash)
     SELECT 'Key-' || n, 'POST', '/employees', md5(n::text) FROM generate_series(1, $1::integer / 10) n`,
    [ROWS],
  );
  const hop = await world.hop(tenant, world.y, 'dedicated');
  const start = performance.now();
  const kept = await runRelocation(hop);
  const seconds = (performance.now() - start) / 1_000;
  await world.settle(tenant, hop);
  const tables = kept.tables as { name: string; rows: number; sourceHash: string; targetHash: string }[];
  expect(tables.reduce((sum, { rows }) => sum + rows, 0)).toBe(ROWS);
  for (const { sourceHash, targetHash } of tables) expect(targetHash).toBe(sourceHash);
  if (process.env.SHOW_PHASES) console.log(`${seconds.toFixed(1)} s, pauses ${kept.pauses} ms`);

  const target = await world.y.connect('owner');
  const { tenantId } = tenant;
  const fresh = `${hop.target.schemaName}_fresh`;
  await createTenantSchema(target, {
    tenantId,
    schemaName: fresh,
    roleName: fresh,
    password: 'p',
    connectionLimit: 5,
  });
  const describe = async (schema: string) => {
    const { rows } = await target.query<{ line: string }>(DESCRIPTION, [schema]);
    return rows.map(({ line }) => line.replaceAll(schema, 'SCHEMA'));
  };
  expect(await describe(hop.target.schemaName)).toEqual(await describe(fresh));
  const [rows] = await tenant.access.batch('read', [
    tenantSql.selectFrom('employees').select('email').where('email', '=', '5@x.test'),
  ]);
  expect(rows).toHaveLength(1);
});
