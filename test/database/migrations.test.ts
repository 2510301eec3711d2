import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { qualified } from '../../functions/database/ddl/identifier.ts';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import {
  updateSharedTables,
  updateTenantSchema,
} from '../../functions/database/provisioning/update-target.ts';
import { text, uuid } from '../../functions/database/tables/column.ts';
import { overAllTenants } from '../../functions/database/tables/render-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import {
  changesOf,
  type TenantMigration,
  tenantMigrations,
} from '../../functions/database/tables/tenant-migrations.ts';
import { type TenantTable, tenantTable } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

const NEXT = TENANT_SCHEMA_VERSION + 1;

/** The definition as a later version might have it: a column with a reference, an index and a table more. */
const badges = tenantTable(
  'badges',
  { badge_id: uuid().notNull().default('gen_random_uuid()'), employee_id: uuid().notNull(), label: text() },
  {
    primaryKey: ['badge_id'],
    foreignKeys: [{ column: 'employee_id', references: 'employees', onDelete: 'cascade' }],
    indexes: [{ name: 'employee', columns: ['employee_id'] }],
    since: NEXT,
  },
);
const nextTables: readonly TenantTable[] = [
  ...tenantTables.map((table: TenantTable) =>
    table.name === 'employees'
      ? {
          ...table,
          columns: {
            ...table.columns,
            shown_name: text().notNull().default(`'none'`).since(NEXT),
            mentor_id: uuid().since(NEXT),
          },
          foreignKeys: [
            ...table.foreignKeys,
            { column: 'mentor_id', references: 'employees', onDelete: 'set null' as const },
          ],
          indexes: [...table.indexes, { name: 'mentor', columns: ['mentor_id'], since: NEXT }],
        }
      : table,
  ),
  badges,
];
const next: TenantMigration = {
  name: `${String(NEXT).padStart(4, '0')}-test-badges`,
  up: (target) => [
    ...changesOf(NEXT, nextTables)(target),
    ...backfill(target, `UPDATE ${qualified(target.schema, 'employees')} SET shown_name = first_name`),
  ],
};

function backfill(target: Parameters<TenantMigration['up']>[0], statement: string): string[] {
  return target.model === 'shared'
    ? overAllTenants([qualified(target.schema, 'employees')], [statement])
    : [statement];
}

const migrations = [...tenantMigrations, next];
const options = {
  ownerPassword: 'owner-password',
  starter: { roleName: 'strata_starter', password: 'starter-password' },
  shared: true,
};

let database: TestDatabase;
let owner: pg.Client;
const tenants: TestTenant[] = [];

beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  for (const model of ['shared', 'shared', 'schema'] as const) {
    const tenant = await database.addTenant(model);
    tenants.push(tenant);
    const client = await database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(`INSERT INTO employees (email, first_name, last_name) VALUES ('a@b.test', 'Ada', 'L')`),
    );
  }
});
afterAll(() => database.drop());

const releaseOf = (steps: readonly TenantMigration[]) => ({
  ...thisRelease,
  schemaVersion: steps.length,
  migrations: steps,
});

/** As a rollout does it. */
async function migrate(steps: readonly TenantMigration[]): Promise<void> {
  const release = releaseOf(steps);
  await updateSharedTables(owner, { starterRole: options.starter.roleName, relocating: [] }, release);
  const [tenant] = tenants.filter(({ isolationModel }) => isolationModel === 'schema');
  await updateTenantSchema(owner, tenant!, release);
}

const history = async (table: string) => (await owner.query(`SELECT name FROM ${table} ORDER BY name`)).rows;

describe('a later migration', () => {
  test('that fails leaves its target as it was, and can be repeated', async () => {
    const failing = { ...next, up: (target: never) => [...next.up(target), 'SELECT 1 / 0'] };
    await expect(migrate([...tenantMigrations, failing])).rejects.toMatchObject({ code: '22012' });
    const released = tenantMigrations.map(({ name }) => ({ name }));
    expect(await history('tenancy.shared_schema_migrations')).toEqual(released);
    expect((await owner.query(`SELECT to_regclass('shared.badges') AS found`)).rows).toEqual([
      { found: null },
    ]);
  });

  test('reaches every target with its rows, once, and each target keeps its own history', async () => {
    await migrate(migrations);
    await migrate(migrations);
    const expected = migrations.map(({ name }) => ({ name }));
    expect(await history('tenancy.shared_schema_migrations')).toEqual(expected);
    const [, , schema] = tenants;
    expect(await history(`${schema?.schemaName}.schema_migrations`)).toEqual(expected);
    for (const tenant of tenants) {
      const client = await database.connect(tenant.login);
      await asTenant(client, tenant, 'write', async () => {
        const { rows } = await client.query('SELECT shown_name, employee_id FROM employees');
        expect(rows).toEqual([{ shown_name: 'Ada', employee_id: expect.any(String) }]);
        await client.query(`INSERT INTO badges (employee_id, label) VALUES ($1, 'first')`, [
          rows[0].employee_id,
        ]);
        await client.query('UPDATE employees SET mentor_id = employee_id');
        expect((await client.query('SELECT label FROM badges')).rows).toEqual([{ label: 'first' }]);
      });
    }
  });

  test('leaves shared tables as guarded as it found them', async () => {
    const { rows } = await owner.query(
      `SELECT relname FROM pg_class WHERE relnamespace = 'shared'::regnamespace AND relkind IN ('r', 'p')
         AND NOT (relrowsecurity AND relforcerowsecurity)`,
    );
    expect(rows).toEqual([]);
    await expect(owner.query('SELECT * FROM shared.badges')).rejects.toMatchObject({ code: 'TN004' });
  });

  test('is part of a target that is created afterwards', async () => {
    const tenantId = randomUUID();
    const name = `tenant_${tenantId.replaceAll('-', '')}_e1`;
    const created = {
      tenantId,
      schemaName: name,
      roleName: name,
      password: 'p',
      connectionLimit: 5,
      migrations,
    };
    await createTenantSchema(owner, created);
    const { rows } = await owner.query(
      `SELECT column_name FROM information_schema.columns
       WHERE table_schema = $1 AND column_name IN ('shown_name', 'badge_id') ORDER BY 1`,
      [name],
    );
    expect(rows).toEqual([{ column_name: 'badge_id' }, { column_name: 'shown_name' }]);
  });
});

test('the first migration renders the same whatever the definition gets later', () => {
  for (const model of ['shared', 'isolated'] as const) {
    const target = { model, schema: 's', requestRole: 'r' };
    expect(changesOf(1, nextTables)(target)).toEqual(changesOf(1)(target));
  }
});

test('a history that is not ours is refused', async () => {
  const fresh = await TestDatabase.clone();
  const renamed = tenantMigrations.map(({ name, up }) => ({ name: `${name}-else`, up }));
  const bootstrapping = bootstrapDataDatabase(await fresh.connect('master'), {
    ...options,
    release: releaseOf(renamed),
  });
  await expect(bootstrapping).rejects.toMatchObject({ name: 'HistoryDiverged' });
  await fresh.drop();
});
