import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { qualified } from '../../functions/database/ddl/identifier.ts';
import { text, uuid, varchar } from '../../functions/database/tables/column.ts';
import { employees } from '../../functions/database/tables/people-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import {
  changesOf,
  type TenantMigration,
  tenantMigrations,
} from '../../functions/database/tables/tenant-migrations.ts';
import { type Columns, type TenantTable, tenantTable } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { offences } from './migration-rules.ts';

const NEXT = TENANT_SCHEMA_VERSION + 1;
let database: TestDatabase;
let tenant: TestTenant;
beforeAll(async () => {
  database = await TestDatabase.clone();
});
beforeEach(async () => {
  tenant = await database.addTenant('schema');
});
afterAll(() => database.drop());

const others: readonly TenantTable[] = tenantTables.filter((table) => table !== (employees as TenantTable));
const withColumns = (columns: Columns): readonly TenantTable[] => [
  ...others,
  { ...employees, columns: { ...employees.columns, ...columns } },
];
/** A release with one migration more. The shared tables are taken back behind the test, the tenant's are its own. */
async function check(tables: readonly TenantTable[], ...ups: TenantMigration['up'][]): Promise<string[]> {
  const numbered = ups.map((up, index) => ({ name: `${String(NEXT + index).padStart(4, '0')}-test`, up }));
  const fresh = await TestDatabase.clone();
  const own = await fresh.addTenant('schema');
  try {
    const migrations = [...tenantMigrations, ...numbered];
    return await offences(fresh, own, { tables, migrations, from: TENANT_SCHEMA_VERSION });
  } finally {
    await fresh.drop();
  }
}
const sql =
  (change: string): TenantMigration['up'] =>
  ({ schema }) => [`ALTER TABLE ${qualified(schema, 'employees')} ${change}`];

test('the released migrations are survived by the code of the version before each', async () => {
  const superuser = await database.connect('superuser');
  await superuser.query(`DROP SCHEMA ${tenant.schemaName} CASCADE`);
  await superuser.query(`DROP SCHEMA shared CASCADE; DROP TABLE tenancy.shared_schema_migrations;
    CREATE SCHEMA shared AUTHORIZATION strata_owner; CREATE SCHEMA ${tenant.schemaName} AUTHORIZATION strata_owner`);
  const released = { tables: tenantTables, migrations: tenantMigrations, from: 0 };
  expect(await offences(database, tenant, released)).toEqual([]);
});

describe('a version may', () => {
  test('add a column and a table, and a later one drop them', async () => {
    const tables: readonly TenantTable[] = [
      ...withColumns({
        shown_name: varchar(50)
          .since(NEXT)
          .until(NEXT + 1),
      }),
      tenantTable(
        'badges',
        { badge_id: uuid().notNull(), label: text() },
        {
          primaryKey: ['badge_id'],
          since: NEXT,
          until: NEXT + 1,
          indexes: [{ name: 'label', columns: ['label'] }],
        },
      ),
    ];
    expect(await check(tables, changesOf(NEXT, tables), changesOf(NEXT + 1, tables))).toEqual([]);
  });

  test('drop a column that no row needs, and an index', async () => {
    const tables: readonly TenantTable[] = [
      ...others,
      {
        ...employees,
        columns: { ...employees.columns, job_title: employees.columns.job_title.until(NEXT) },
        indexes: employees.indexes.map((index) =>
          index.name === 'status' ? { ...index, until: NEXT } : index,
        ),
      },
    ];
    expect(await check(tables, changesOf(NEXT, tables))).toEqual([]);
  });
});

describe('a version is refused that', () => {
  test('drops or renames a column that the code still uses', async () => {
    expect(await check(tenantTables, sql('DROP COLUMN job_title'))).toContain(
      `version ${NEXT} drops or renames employees.job_title, which the code still uses`,
    );
    expect(await check(tenantTables, sql('RENAME COLUMN job_title TO title'))).toContain(
      `version ${NEXT} drops or renames employees.job_title, which the code still uses`,
    );
  });

  test('drops or renames a table that the code still uses', async () => {
    const line = `version ${NEXT} drops or renames certifications, which the code still uses`;
    const dropping: TenantMigration['up'] = ({ schema }) => [
      `DROP TABLE ${qualified(schema, 'certifications')}`,
    ];
    expect(await check(tenantTables, dropping)).toContain(line);
  });

  test('makes the code of the version before unable to insert', async () => {
    expect(await check(tenantTables, sql('ALTER COLUMN job_title SET NOT NULL'))).toEqual([
      `version ${NEXT} makes employees.job_title NOT NULL without a default`,
    ]);
    const tables = withColumns({ shown_name: text().notNull().since(NEXT) });
    expect(await check(tables, changesOf(NEXT, tables))).toEqual([
      'employees.shown_name is added NOT NULL without a default',
      `version ${NEXT} adds employees.shown_name NOT NULL without a default`,
    ]);
  });

  test('changes the type of a column', async () => {
    expect(await check(tenantTables, sql('ALTER COLUMN job_title TYPE text'))).toEqual([
      `version ${NEXT} changes the type of employees.job_title`,
    ]);
  });

  test('lacks what the definition says, or drops what every row needs', async () => {
    expect(await check(withColumns({ shown_name: text().since(NEXT) }), () => [])).toEqual([
      `version ${NEXT} and the definition of employees.shown_name differ`,
    ]);
    const tables = withColumns({ email: employees.columns.email.until(NEXT + 1) });
    expect(await check(tables, () => [])).toEqual([
      'employees.email has until, but no row can be inserted without it',
    ]);
  });
});
