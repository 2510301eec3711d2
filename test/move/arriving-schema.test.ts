import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import {
  type BareSchema,
  createBareSchema,
  missingPieces,
  sealSchema,
} from '../../functions/database/transfer/target-schema.ts';
import { TestDatabase } from '../test-database.ts';

const isKeyed = (table: string) => table === 'employees';
let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
});
afterAll(() => database.drop());

function schemaOf(suffix: string): BareSchema {
  const tenantId = randomUUID();
  const name = `tenant_${tenantId.replaceAll('-', '')}_${suffix}`;
  const role = { roleName: name, password: 'p', connectionLimit: 5 };
  return { tenantId, schemaName: name, ...role, schemaVersion: TENANT_SCHEMA_VERSION };
}

/** Everything about a schema that two of them can differ in, without their names. */
async function describeSchema({ schemaName, roleName }: BareSchema): Promise<string[]> {
  const { rows } = await owner.query<{ line: string }>(
    `select format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as line
     from information_schema.columns where table_schema = $1
     union all select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
     from pg_constraint where connamespace = $1::regnamespace
     union all select format('index %s', indexdef) from pg_indexes where schemaname = $1
     union all select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = tgrelid
     where c.relnamespace = $1::regnamespace and not tgisinternal
     union all select format('rights %s %s', relname, relacl) from pg_class where relnamespace = $1::regnamespace
     union all select format('rights %s comment %s', nspacl, obj_description(oid, 'pg_namespace') is not null)
     from pg_namespace where nspname = $1
     order by 1`,
    [schemaName],
  );
  const { rows: history } = await owner.query(
    `select name from ${schemaName}.schema_migrations order by name`,
  );
  return [...rows.map(({ line }) => line), JSON.stringify(history)].map((line) =>
    line.replaceAll(schemaName, 'SCHEMA').replaceAll(roleName, 'ROLE'),
  );
}

test('is in the end what a migrated schema is, whatever step was repeated', async () => {
  const migrated = schemaOf('e1');
  await createTenantSchema(owner, migrated);
  const arriving = schemaOf('e2a1');
  await createBareSchema(owner, arriving, isKeyed);
  await createBareSchema(owner, arriving, isKeyed);
  for (let piece = (await missingPieces(owner, arriving))[0]; piece; ) {
    await owner.query(piece.statement);
    const left = await missingPieces(owner, arriving);
    expect(left.map(({ statement }) => statement)).not.toContain(piece.statement);
    piece = left[0];
  }
  await sealSchema(owner, arriving);
  await sealSchema(owner, arriving);
  expect(await describeSchema(arriving)).toEqual(await describeSchema(migrated));
});

test('takes rows in any order while it is bare, and no request', async () => {
  const arriving = schemaOf('e2a1');
  await createBareSchema(owner, arriving, isKeyed);
  const { rows } = await owner.query(
    `select conname from pg_constraint where connamespace = $1::regnamespace and contype not in ('p', 'c')`,
    [arriving.schemaName],
  );
  expect(rows).toEqual([]);
  const keys = await owner.query(
    `select conname as key from pg_constraint where connamespace = $1::regnamespace and contype = 'p'`,
    [arriving.schemaName],
  );
  expect(keys.rows).toEqual([{ key: 'employees_pkey' }]);
  const login = await database.connect({ user: arriving.roleName, password: 'p' });
  const reading = login.query(`select from ${arriving.schemaName}.employees`);
  await expect(reading).rejects.toMatchObject({ code: '42501' });
});
