import { createHash, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import { lockSharedTables } from '../../functions/database/provisioning/shared-tables-lock.ts';
import { TENANCY_VERSION, tenancyStatements } from '../../functions/database/provisioning/tenancy-schema.ts';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import {
  updateSharedTables,
  updateTenancy,
  updateTenantSchema,
} from '../../functions/database/provisioning/update-target.ts';
import { asTenant } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { nextRelease } from '../rollouts/next-release.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let superuser: pg.Client;
let owner: pg.Client;
let tenant: TestTenant;
const shared = { starterRole: 'strata_starter', relocating: [] };

beforeAll(async () => {
  database = await TestDatabase.clone();
  superuser = await database.connect('superuser');
  owner = await database.connect('owner');
  tenant = await database.addTenant('schema');
});
afterAll(() => database.drop());

/**
 * What the catalogue says of a schema's tables: columns, constraints, indexes, triggers, policies and rights, in an order
 * that does not depend on when they were made. Names of schema and role are left out.
 */
async function catalogueOf(schema: string, role: string): Promise<string[]> {
  const { rows } = await superuser.query<{ line: string }>(
    `WITH c AS (SELECT * FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p'))
     SELECT 'column ' || relname || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull || ' ' ||
            attnum || ' ' || coalesce(pg_get_expr(adbin, adrelid), '') AS line
     FROM c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 LEFT JOIN pg_attrdef d ON adrelid = c.oid AND adnum = attnum
     UNION ALL SELECT 'constraint ' || relname || ' ' || conname || ' ' || pg_get_constraintdef(k.oid)
     FROM c JOIN pg_constraint k ON conrelid = c.oid
     UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) FROM c JOIN pg_index ON indrelid = c.oid
     UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM c JOIN pg_trigger t ON tgrelid = c.oid AND NOT tgisinternal
     UNION ALL SELECT 'table ' || relname || ' ' || relrowsecurity || relforcerowsecurity || coalesce(relacl::text, '') FROM c
     UNION ALL SELECT 'policy ' || relname || ' ' || polname || pg_get_expr(polqual, polrelid) FROM c JOIN pg_policy ON polrelid = c.oid
     ORDER BY 1`,
    [schema],
  );
  return rows.map(({ line }) => line.replaceAll(schema, 'SCHEMA').replaceAll(role, 'ROLE'));
}

const hasColumn = async (schema: string) =>
  (
    await superuser.query(
      `SELECT FROM pg_attribute WHERE attrelid = ($1 || '.employees')::regclass AND attname = 'shown_name'`,
      [schema],
    )
  ).rowCount === 1;
const tenancyVersion = async () =>
  (await superuser.query(`SELECT obj_description('tenancy'::regnamespace, 'pg_namespace') AS version`))
    .rows[0].version;

/** Ends the session when it is about to send its statement number `count`. */
async function killedAt(count: number, work: (client: pg.Client) => Promise<unknown>): Promise<boolean> {
  const client = await database.connect('owner');
  const send = client.query.bind(client) as (...values: unknown[]) => Promise<unknown>;
  const { processID } = client as unknown as { processID: number };
  let sent = 0;
  client.query = (async (...values: unknown[]) => {
    if (++sent === count) await superuser.query('SELECT pg_terminate_backend($1, 5000)', [processID]);
    return send(...values);
  }) as never;
  const failed = await work(client).then(
    () => false,
    () => true,
  );
  expect(failed).toBe(sent >= count);
  return failed;
}

describe('an update of a target', () => {
  test.each([
    [
      'schema tenancy',
      updateTenancy,
      nextRelease.tenancyVersion,
      async () => (await tenancyVersion()) === `version ${nextRelease.tenancyVersion}`,
    ],
    [
      'the shared tables',
      (client: pg.Client, release = thisRelease) => updateSharedTables(client, shared, release),
      nextRelease.schemaVersion,
      () => hasColumn('shared'),
    ],
    [
      'a tenant’s schema',
      (client: pg.Client, release = thisRelease) => updateTenantSchema(client, tenant, release),
      nextRelease.schemaVersion,
      () => hasColumn(tenant.schemaName),
    ],
  ] as const)(
    'of %s killed at any statement leaves it as it was, and succeeds when repeated',
    async (_what, update, version, isDone) => {
      let count = 1;
      while (await killedAt(count, (client) => update(client, nextRelease))) {
        expect(await isDone(), `statement ${count}`).toBe(false);
        count += sampled(3, 1);
      }
      expect(count).toBeGreaterThan(3);
      expect(await isDone()).toBe(true);
      expect(await update(owner, nextRelease)).toBe(version);
      // An older release, after a rollback of a deployment, leaves it.
      expect(await update(owner, thisRelease)).toBe(version);
      expect(await isDone()).toBe(true);
    },
  );

  test('makes of an older schema what is created at once', async () => {
    const tenantId = randomUUID();
    const name = `tenant_${tenantId.replaceAll('-', '')}_e1`;
    const login = { password: 'p', connectionLimit: 5 };
    const created = { tenantId, schemaName: name, roleName: name, ...login };
    expect(await createTenantSchema(owner, { ...created, migrations: nextRelease.migrations })).toBe(
      nextRelease.schemaVersion,
    );
    const fresh = await catalogueOf(name, name);
    expect(fresh.length).toBeGreaterThan(100);
    expect(await catalogueOf(tenant.schemaName, tenant.roleName)).toEqual(fresh);
  });

  test('of shared tables waits for a claim that is being written, and no longer than a request may', async () => {
    const claiming = await database.connect('owner');
    await claiming.query('BEGIN');
    await lockSharedTables(claiming);
    const begun = performance.now();
    await expect(updateSharedTables(owner, shared, nextRelease)).rejects.toMatchObject({ code: '55P03' });
    expect(performance.now() - begun).toBeLessThan(10_000);
    await claiming.query('ROLLBACK');
    await updateSharedTables(owner, shared, nextRelease);
  });

  test('refuses a tenant that is placed differently', async () => {
    await expect(updateTenantSchema(owner, { ...tenant, epoch: 2 }, nextRelease)).rejects.toMatchObject({
      name: 'TargetMoved',
    });
    await expect(
      updateTenantSchema(owner, { ...tenant, tenantId: randomUUID() }, nextRelease),
    ).rejects.toMatchObject({ name: 'TargetMoved' });
  });
});

describe('bootstrap of a database that exists', () => {
  const options = {
    ownerPassword: 'owner-password',
    starter: { roleName: 'strata_starter', password: 'starter-password' },
    shared: true,
  };

  test('by an older release succeeds, changes nothing and tells the newer versions', async () => {
    const before = [
      await catalogueOf('shared', 'strata_starter'),
      await catalogueOf('tenancy', 'strata_owner'),
    ];
    const versions = await bootstrapDataDatabase(await database.connect('master'), options);
    expect(versions).toEqual({
      schemaVersion: nextRelease.schemaVersion,
      tenancyVersion: nextRelease.tenancyVersion,
    });
    expect([
      await catalogueOf('shared', 'strata_starter'),
      await catalogueOf('tenancy', 'strata_owner'),
    ]).toEqual(before);
    expect((await superuser.query('SELECT tenancy.of_the_next_release() AS answer')).rows).toEqual([
      { answer: 1 },
    ]);
  });

  test('by a newer release leaves the change to the rollout, and tells the older versions', async () => {
    const older = await TestDatabase.clone();
    const master = await older.connect('master');
    expect(await bootstrapDataDatabase(master, { ...options, release: nextRelease })).toEqual({
      schemaVersion: thisRelease.schemaVersion,
      tenancyVersion: thisRelease.tenancyVersion,
    });
    const inspector = await older.connect('superuser');
    const { rows } = await inspector.query(`SELECT to_regproc('tenancy.of_the_next_release') AS found`);
    expect(rows).toEqual([{ found: null }]);
    await older.drop();
  });

  test('of the field, without a version and a column, is brought up to date beside requests', async () => {
    const field = await TestDatabase.clone();
    const requests = await field.addTenant('schema');
    const client = await field.connect(requests.login);
    const inspector = await field.connect('superuser');
    await inspector.query(
      `COMMENT ON SCHEMA tenancy IS NULL; ALTER TABLE tenancy.placement DROP COLUMN former`,
    );
    const enter = () =>
      asTenant(client, requests, 'write', () =>
        client.query(`INSERT INTO skills (skill_name) VALUES (gen_random_uuid())`),
      );
    await enter();
    expect(await updateTenancy(await field.connect('owner'))).toBe(TENANCY_VERSION);
    await enter();
    const { rows } = await inspector.query(
      `SELECT attname FROM pg_attribute WHERE attrelid = 'tenancy.placement'::regclass AND attname = 'former'`,
    );
    expect(rows).toEqual([{ attname: 'former' }]);
    await field.drop();
  });
});

test('whoever changes schema tenancy raises its version', () => {
  const hash = createHash('sha256').update(tenancyStatements.join(';\n')).digest('hex').slice(0, 16);
  // Raise TENANCY_VERSION with the statements, then note both here: a rollout looks at the version only.
  expect([TENANCY_VERSION, hash]).toEqual([3, 'f5e15c5485a644f6']);
});
