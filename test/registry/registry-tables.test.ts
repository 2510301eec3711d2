import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { registryTables } from '../../functions/registry/registry-tables.ts';
import { ownRegistry } from '../own-registry.ts';
import type { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
ownRegistry(async (own) => {
  database = own;
});

interface CatalogueColumn {
  readonly table: string;
  readonly column: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly values: string[];
}

/** What the migrations made. Values are those of the column's CHECK, where it enumerates them. */
async function catalogue(): Promise<CatalogueColumn[]> {
  const superuser = await database.connect('superuser');
  const { rows } = await superuser.query(
    `SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
            NOT a.attnotnull AS nullable, pg_get_expr(d.adbin, d.adrelid) AS default,
            (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
              WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
                AND pg_get_constraintdef(k.oid) LIKE '%= ANY%') AS check
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'registry_schema_migrations'`,
  );
  return rows.map(({ check, default: value, ...column }) => ({
    ...column,
    // The catalogue says the type of a literal.
    default: value?.replace(/^('.*')::.*$/, '$1') ?? null,
    values: [...((check as string | null) ?? '').matchAll(/'([^']*)'::/g)].map(([, one]) => one).sort(),
  }));
}

const byName = (one: CatalogueColumn, other: CatalogueColumn) =>
  `${one.table}.${one.column}` < `${other.table}.${other.column}` ? -1 : 1;

test('the types of queries and the migrated tables have the same columns, types, defaults and values', async () => {
  const defined = Object.entries(registryTables).flatMap(([table, columns]) =>
    Object.entries(columns).map(([column, { spec }]) => ({
      table,
      column,
      type: spec.type,
      nullable: spec.nullable,
      default: spec.defaultSql ?? null,
      values: [...(spec.allowedValues ?? [])].sort(),
    })),
  );
  const found = (await catalogue()).map((column) =>
    // Which residencies and tiers there are is not for the types of these columns to say.
    column.column === 'data_residency' ? { ...column, values: [] } : column,
  );
  expect(defined.sort(byName)).toEqual(found.sort(byName));
});

test('no query of the registry casts a parameter by hand: its column says the type', () => {
  const root = join(import.meta.dirname, '../../functions');
  const casting = globSync('**/*.ts', { cwd: root }).filter((file) =>
    /[\s(,|]:[a-z]\w*::[a-z]/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(casting).toEqual([]);
});
