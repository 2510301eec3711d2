import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantTableOrder, tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let superuser: pg.Client;
let tenant: TestTenant;

beforeAll(async () => {
  database = await TestDatabase.clone();
  superuser = await database.connect('superuser');
  tenant = await database.addTenant('schema');
});
afterAll(() => database.drop());

async function names(sql: string, ...values: unknown[]): Promise<string[]> {
  const { rows } = await superuser.query<[string]>({ text: sql, values, rowMode: 'array' });
  return rows.map(([name]) => name);
}

/** All tables with tenants' rows in `shared`, partitions included. */
const TABLES = `pg_class c WHERE c.relnamespace = 'shared'::regnamespace AND c.relkind IN ('r', 'p')`;

describe('every shared table', () => {
  test('is there: those of the definition and their partitions', async () => {
    const found = await names(`SELECT relname FROM ${TABLES}`);
    for (const { name } of tenantTables) expect(found).toContain(name);
    expect(found.filter((name) => name.startsWith('assessment_results_p'))).toHaveLength(4);
    const month = new Date().toISOString().slice(0, 7).replace('-', '_');
    expect(found).toContain(`audit_log_${month}`);
    expect(found).toContain('audit_log_default');
  });

  test('forces row-level security, also upon its owner', async () => {
    expect(
      await names(`SELECT relname FROM ${TABLES} AND NOT (relrowsecurity AND relforcerowsecurity)`),
    ).toEqual([]);
  });

  test('has exactly one policy for request roles, for all commands, that also checks what is written', async () => {
    const { rows } = await superuser.query(
      `SELECT DISTINCT polcmd, polpermissive, polroles::text AS roles, count(*) OVER (PARTITION BY polrelid) AS number,
              pg_get_expr(polqual, polrelid) AS using, pg_get_expr(polwithcheck, polrelid) AS with_check
       FROM pg_policy WHERE polrelid IN (SELECT oid FROM ${TABLES}) AND polname <> 'analytics_policy'`,
    );
    const own = '(tenant_id = ( SELECT tenancy.current_tenant() AS current_tenant))';
    expect(rows).toEqual([
      { polcmd: '*', polpermissive: true, roles: '{0}', number: '1', using: own, with_check: own },
    ]);
    const without = `SELECT relname FROM ${TABLES} AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)`;
    expect(await names(without)).toEqual([]);
  });

  test('shows the rows of all tenants to the role of summaries only, and only where they are computed from', async () => {
    const { rows } = await superuser.query(
      `SELECT polrelid::regclass::text AS table, polcmd, polroles::regrole[]::text AS roles,
              pg_get_expr(polqual, polrelid) AS using
       FROM pg_policy WHERE polrelid IN (SELECT oid FROM ${TABLES}) AND polname = 'analytics_policy' ORDER BY 1`,
    );
    const policy = { polcmd: 'r', roles: '{strata_analytics}', using: 'true' };
    expect(rows).toEqual([
      { table: 'shared.employee_skills', ...policy },
      { table: 'shared.skills', ...policy },
    ]);
  });

  test('begins every key and index with the tenant, and has a primary key', async () => {
    const others = `SELECT i.indexrelid::regclass::text FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
      WHERE i.indrelid IN (SELECT oid FROM ${TABLES}) AND a.attname <> 'tenant_id'`;
    expect(await names(others)).toEqual([]);
    const keyless = `SELECT relname FROM ${TABLES} AND NOT EXISTS
      (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)`;
    expect(await names(keyless)).toEqual([]);
  });

  test('refers to other tables by tenant and key', async () => {
    const foreign = `SELECT con.conname FROM pg_constraint con
      JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = con.conkey[1]
      JOIN pg_attribute b ON b.attrelid = con.confrelid AND b.attnum = con.confkey[1]
      WHERE con.contype = 'f' AND con.connamespace = 'shared'::regnamespace`;
    expect(await names(`${foreign} AND (a.attname <> 'tenant_id' OR b.attname <> 'tenant_id')`)).toEqual([]);
    expect((await names(foreign)).length).toBeGreaterThan(10);
  });

  test('fills in the tenant by itself, and cannot be without', async () => {
    const { rows } = await superuser.query(
      `SELECT DISTINCT a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS value
       FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.oid IN (SELECT oid FROM ${TABLES})`,
    );
    expect(rows).toEqual([{ attnotnull: true, value: 'tenancy.current_tenant()' }]);
  });

  test('uses nothing that cannot be moved: no sequence, no identity, no json', async () => {
    const unmovable = `SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute
      WHERE attrelid IN (SELECT oid FROM ${TABLES}) AND attnum > 0
        AND (attidentity <> '' OR attgenerated <> '' OR atttypid = 'json'::regtype
             OR atttypid = 'timestamp without time zone'::regtype)`;
    expect(await names(unmovable)).toEqual([]);
    expect(await names(`SELECT relname FROM pg_class WHERE relkind = 'S'`)).toEqual([]);
  });
});

describe('roles', () => {
  const ours = () => [
    'strata_owner',
    'strata_starter',
    'strata_tenant_login',
    'strata_analytics',
    'strata_master',
    tenant.roleName,
  ];

  test('are neither superuser nor above row-level security', async () => {
    const above = 'SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) AND (rolsuper OR rolbypassrls)';
    expect(await names(above, ours())).toEqual([]);
    expect(await names('SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)', ours())).toHaveLength(6);
  });

  test('of requests own nothing, create nothing and are nobody else', async () => {
    const requests = ['strata_starter', tenant.roleName];
    for (const role of requests) {
      const owned = await names(
        'SELECT classid::text FROM pg_shdepend WHERE deptype = $1 AND refobjid = $2::regrole',
        'o',
        role,
      );
      expect(owned).toEqual([]);
      const able = `SELECT rolname FROM pg_roles WHERE rolname = $1 AND (rolcreaterole OR rolcreatedb OR rolreplication)`;
      expect(await names(able, role)).toEqual([]);
      const groups = 'SELECT roleid::regrole::text FROM pg_auth_members WHERE member = $1::regrole';
      expect(await names(groups, role)).toEqual(['strata_tenant_login']);
      const creating = `SELECT nspname FROM pg_namespace WHERE has_schema_privilege($1, oid, 'CREATE')`;
      expect(await names(creating, role)).toEqual([]);
      const database_ = `SELECT privilege FROM unnest(ARRAY['CREATE', 'TEMPORARY']) privilege
        WHERE has_database_privilege($1, current_database(), privilege)`;
      expect(await names(database_, role)).toEqual([]);
    }
  });

  test('of requests are never granted TRUNCATE, REFERENCES, TRIGGER or MAINTAIN, nor anything on a partition', async () => {
    const granted = `SELECT DISTINCT privilege_type FROM pg_class c, aclexplode(c.relacl) acl
      WHERE acl.grantee NOT IN (c.relowner, 'strata_owner'::regrole) AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`;
    expect(await names(`${granted} ORDER BY 1`)).toEqual(['DELETE', 'INSERT', 'SELECT', 'UPDATE']);
    expect(await names(`${granted} AND c.relispartition`)).toEqual([]);
  });

  test('of requests append to the audit log, read its seals, and see no marker of a move', async () => {
    for (const [role, schema] of [
      ['strata_starter', 'shared'],
      [tenant.roleName, tenant.schemaName],
    ] as const) {
      const may = `SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege
        WHERE has_table_privilege($1, $2, privilege)`;
      expect(await names(may, role, `${schema}.employees`)).toHaveLength(4);
      expect(await names(may, role, `${schema}.audit_log`)).toEqual(['SELECT', 'INSERT']);
      expect(await names(may, role, `${schema}.audit_seals`)).toEqual(['SELECT']);
      expect(await names(may, role, `${schema}.move_markers`)).toEqual([]);
    }
  });

  test('start with a search path without tables, and with limits', async () => {
    const settings =
      'SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = $1::regrole AND setdatabase = 0';
    for (const role of ['strata_starter', tenant.roleName]) {
      expect((await names(settings, role)).sort()).toEqual([
        'idle_in_transaction_session_timeout=10s',
        'idle_session_timeout=5min',
        'search_path=""',
        'statement_timeout=15s',
        'transaction_timeout=30s',
      ]);
    }
    expect(await names(settings, 'strata_owner')).toEqual(['search_path=""']);
    const session = await database.connect(tenant.login);
    await expect(session.query('SELECT * FROM employees')).rejects.toMatchObject({ code: '42P01' });
  });

  test('of requests do not reach the statistics of statements, which the owner reads', async () => {
    const may = `SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)
      AND has_schema_privilege(rolname, 'statistics', 'USAGE') ORDER BY 1`;
    expect(await names(may, ['strata_starter', tenant.roleName, 'strata_owner'])).toEqual(['strata_owner']);
    const owner = await database.connect('owner');
    // Of another role's statement it sees the text.
    const { rows } = await owner.query(
      `SELECT query FROM statistics.pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
       WHERE r.rolsuper AND query NOT LIKE '<%' LIMIT 1`,
    );
    expect(rows).toHaveLength(1);
    const session = await database.connect(tenant.login);
    await expect(session.query('SELECT * FROM statistics.pg_stat_statements')).rejects.toMatchObject({
      code: '42501',
    });
  });

  test('of everybody (PUBLIC) run no function of tenancy', async () => {
    const open = `SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
      WHERE p.pronamespace = 'tenancy'::regnamespace AND acl.grantee = 0`;
    expect(await names(open)).toEqual([]);
    const forRequests = `SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'tenancy'::regnamespace
      AND has_function_privilege('strata_starter', p.oid, 'EXECUTE') ORDER BY 1`;
    expect(await names(forRequests)).toEqual([
      'clear_fence',
      'current_tenant',
      'enter',
      'note_retry',
      'relieve_lock_table',
    ]);
  });
});

test('the order of tables puts each after those it refers to', () => {
  const references = tenantTables.flatMap(({ name, foreignKeys }) =>
    foreignKeys.filter((key) => key.references !== name).map((key) => [key.references, name] as const),
  );
  const order: readonly string[] = tenantTableOrder;
  expect(references.filter(([first, second]) => order.indexOf(first) >= order.indexOf(second))).toEqual([]);
  expect(references.filter(([first]) => !order.includes(first))).toEqual([]);
});
