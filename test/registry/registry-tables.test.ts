import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { personalStatistics } from '../../functions/registry/migrations/0021-personal-statistics.ts';
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

describe('the planner’s statistics', () => {
  const WORD = 'planted-person';
  const quoting = async (superuser: pg.Client) => {
    await superuser.query('ANALYZE');
    const { rows } = await superuser.query<{ place: string }>(
      `SELECT concat_ws('.', tablename, attname) AS place FROM pg_stats
       WHERE schemaname = 'public' AND concat(most_common_vals::text, histogram_bounds::text) LIKE $1 ORDER BY 1`,
      [`%${WORD}%`],
    );
    return rows.map(({ place }) => place);
  };

  test('quote nobody, and what an earlier version has sampled is gone', async () => {
    const superuser = await database.connect('superuser');
    const subjects = Array.from({ length: 3 }, (_, n) => `${WORD}-${n}`);
    for (const subject of subjects) {
      const { rows } = await superuser.query<{ tenant_id: string }>(
        `INSERT INTO tenants (tenant_name, tenant_slug, isolation_model, subscription_tier, status_reason, admin_email,
                              billing_email, legal_hold, home_region)
         VALUES ($1::text, replace(gen_random_uuid()::text, '-', ''), 'shared', 'starter', $1, $1, $1, $1, 'us')
         RETURNING tenant_id`,
        [subject],
      );
      await superuser.query(
        `INSERT INTO tenant_users (tenant_id, email, role, external_auth_id) VALUES ($1, $2::text, 'admin', $2)`,
        [rows[0]?.tenant_id, subject],
      );
      await superuser.query('INSERT INTO tenant_choices (subject, tenant_id) VALUES ($2, $1)', [
        rows[0]?.tenant_id,
        subject,
      ]);
      await superuser.query('INSERT INTO account_requests (email, reason) VALUES ($1::text, $1)', [subject]);
      await superuser.query(
        `INSERT INTO control_idempotency_keys (idempotency_key, actor, request_hash, response_body)
         VALUES (gen_random_uuid()::text, 'operator', 'hash', jsonb_build_object('email', $1::text))`,
        [subject],
      );
    }
    expect(await quoting(superuser)).toEqual([]);

    // As a registry of version 20 has them; a column that came later was never sampled.
    const { rows } = await superuser.query<{ table: string; column: string }>(
      `SELECT attrelid::regclass::text AS table, attname AS column FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
       WHERE attstattarget = 0 AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
         AND attname <> 'legal_hold'`,
    );
    for (const { table, column } of rows)
      await superuser.query(`ALTER TABLE ${table} ALTER COLUMN ${column} SET STATISTICS 100`);
    await superuser.query('ALTER INDEX idx_tenant_users_lower_email ALTER COLUMN 1 SET STATISTICS 100');
    const places = rows.map(({ table, column }) => `${table}.${column}`);
    expect(await quoting(superuser)).toEqual([...places, 'idx_tenant_users_lower_email.lower'].sort());
    for (const statement of personalStatistics) await superuser.query(statement);
    expect(await quoting(superuser)).toEqual([]);
  });
});

test('no query of the registry casts a parameter by hand: its column says the type', () => {
  const root = join(import.meta.dirname, '../../functions');
  const casting = globSync('**/*.ts', { cwd: root }).filter((file) =>
    /[\s(,|]:[a-z]\w*::[a-z]/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(casting).toEqual([]);
});
