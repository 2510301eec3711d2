import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bootstrapRegistry, registryMigrations } from '../../functions/registry/bootstrap-registry.ts';
import { registerCell } from '../../functions/registry/cells.ts';
import { ownRegistry } from '../own-registry.ts';
import { TestDatabase } from '../test-database.ts';

const passwords = {
  readerPassword: 'reader-password',
  writerPassword: 'writer-password',
  usersPassword: 'users-password',
};
const cell = {
  cellId: 'us-1',
  region: 'us',
  dataResidency: 'us',
  databaseHost: 'proxy.local',
  databasePort: 5432,
  writerHost: 'writer.local',
  databaseName: 'strata',
  proxyName: 'strata-us-1',
  clusterArn: 'arn:cluster',
  masterSecretArn: 'arn:master',
  ownerSecretArn: 'arn:owner',
  starterRoleName: 'strata_starter',
  starterSecretArn: 'arn:starter',
  maxBusinessTenants: 190,
};

let database: TestDatabase;
ownRegistry(async (own) => {
  database = own;
});

/** Inserts a tenant with the columns given over plausible ones, as the writer. */
async function insertTenant(columns: Record<string, string | number> = {}): Promise<string> {
  const tenantId = randomUUID();
  const values = {
    tenant_id: tenantId,
    tenant_name: `Tenant ${tenantId}`,
    tenant_slug: `t-${tenantId}`,
    isolation_model: 'shared',
    subscription_tier: 'starter',
    home_region: 'us',
    ...columns,
  };
  const casts: Record<string, string> = {
    tenant_id: '::uuid',
    features: '::jsonb',
    compliance_requirements: '::jsonb',
  };
  const names = Object.keys(values);
  const writer = await database.registry();
  await writer.query(
    `INSERT INTO tenants (${names.join(', ')}) VALUES (${names.map((name) => `:${name}${casts[name] ?? ''}`).join(', ')})`,
    values,
  );
  return tenantId;
}

describe('the registry accepts only', () => {
  test.each([
    ['tenant_slug', 'Not-A-Slug'],
    ['tenant_slug', '-x'],
    ['tenant_slug', 'x'.repeat(64)],
    ['status', 'deleted'],
    ['subscription_tier', 'gold'],
    ['isolation_model', 'pool'],
    ['data_residency', 'mars'],
    ['max_users', 0],
    ['features', '[]'],
    ['compliance_requirements', '{}'],
  ])('a known %s, not %s', async (column, value) => {
    await expect(insertTenant({ [column]: value })).rejects.toMatchObject({ sqlState: '23514' });
  });

  test('postgresql as database_type, and says so by the name of the constraint', async () => {
    const tenantId = await insertTenant();
    const writer = await database.registry();
    const routing = writer.query(
      `INSERT INTO tenant_database_routing
         (tenant_id, database_type, database_host, database_port, database_name, isolation_model, epoch, region)
       VALUES (:tenantId::uuid, 'mysql', 'h', 3306, 'd', 'dedicated', 1, 'us')`,
      { tenantId },
    );
    await expect(routing).rejects.toMatchObject({
      sqlState: '23514',
      message: expect.stringContaining('only_postgresql'),
    });
  });
});

describe('registry roles', () => {
  test('the reader looks up and changes nothing', async () => {
    const reader = await database.registry('registryReader');
    for (const table of ['tenants', 'tenant_users', 'tenant_database_routing', 'cells']) {
      await reader.query(`SELECT * FROM ${table}`);
    }
    const refused = { sqlState: '42501' };
    await expect(reader.query(`UPDATE tenants SET status = 'suspended'`)).rejects.toMatchObject(refused);
    await expect(reader.query('SELECT * FROM control_audit_log')).rejects.toMatchObject(refused);
  });

  test('the writer runs no DDL, and cannot rewrite what was done', async () => {
    const writer = await database.registry();
    const refused = { sqlState: '42501' };
    for (const statement of [
      'CREATE TABLE own (id int)',
      'ALTER TABLE tenants ADD COLUMN x int',
      'TRUNCATE tenants CASCADE',
      'DELETE FROM tenants',
      'DELETE FROM control_audit_log',
      `UPDATE control_audit_log SET actor = 'somebody'`,
    ]) {
      await expect(writer.query(statement), statement).rejects.toMatchObject(refused);
    }
  });

  test('the users’ role changes memberships, and nothing else of a tenant or of its place', async () => {
    const tenantId = await insertTenant();
    const users = await database.registry('registryUsers');
    for (const table of ['tenants', 'tenant_users', 'tenant_database_routing', 'cells', 'regions']) {
      await users.query(`SELECT * FROM ${table}`);
    }
    await users.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'ada@x.test', 'viewer')`,
      { tenantId },
    );
    await users.query('SELECT tenant_id FROM tenants WHERE tenant_id = :tenantId::uuid FOR UPDATE', {
      tenantId,
    });
    await users.query(`UPDATE tenant_users SET role = 'admin', is_active = false`);
    await users.query(`DELETE FROM tenant_users`);
    const refused = { sqlState: '42501' };
    for (const statement of [
      `UPDATE tenants SET status = 'suspended'`,
      `UPDATE tenants SET max_users = 1000000`,
      'DELETE FROM tenants',
      `UPDATE tenant_users SET email = 'other@x.test'`,
      'UPDATE tenant_users SET tenant_id = tenant_id',
      'UPDATE tenant_database_routing SET epoch = 1',
      `UPDATE cells SET status = 'full'`,
      'SELECT * FROM control_audit_log',
      'UPDATE control_audit_log SET actor = actor',
      'SELECT * FROM tenant_backups',
      'SELECT input FROM tenant_moves',
      'CREATE TABLE own (id int)',
    ]) {
      await expect(users.query(statement), statement).rejects.toMatchObject(refused);
    }
  });

  test('a cell is registered once; what an operator and a lease have set survives the next deployment', async () => {
    const writer = await database.registry();
    await registerCell(writer, cell);
    await writer.query(`UPDATE cells SET status = 'draining', proxy_lease_token = gen_random_uuid()`);
    await registerCell(writer, { ...cell, maxBusinessTenants: 10 });
    const rows = await writer.query(
      'SELECT status, max_business_tenants, proxy_lease_token IS NOT NULL AS leased FROM cells',
    );
    expect(rows).toEqual([{ status: 'draining', max_business_tenants: 10, leased: true }]);
  });
});

describe('bootstrapping the registry', () => {
  test('twice at once, on an empty database, ends well for both', async () => {
    const empty = await TestDatabase.empty();
    const [one, two] = [await empty.registry('master'), await empty.registry('master')];
    await Promise.all([bootstrapRegistry(one, passwords), bootstrapRegistry(two, passwords)]);
    const applied = await one.query('SELECT name FROM registry_schema_migrations');
    expect(applied).toEqual(registryMigrations.map(({ name }) => ({ name })));
    await empty.drop();
  });

  test('runs a later migration once, and nothing of it when a statement fails', async () => {
    const master = await database.registry('master');
    const later = { name: '9999-test', statements: ['CREATE TABLE later (id int)', 'SELECT 1 / 0'] };
    await expect(bootstrapRegistry(master, passwords, [...registryMigrations, later])).rejects.toMatchObject({
      sqlState: '22012',
    });
    expect(await master.query(`SELECT to_regclass('later') AS found`)).toEqual([{ found: null }]);
    const repaired = { ...later, statements: later.statements.slice(0, 1) };
    await bootstrapRegistry(master, passwords, [...registryMigrations, repaired]);
    await bootstrapRegistry(master, passwords, [...registryMigrations, repaired]);
    expect(await master.query('SELECT name FROM registry_schema_migrations ORDER BY name')).toEqual([
      ...registryMigrations.map(({ name }) => ({ name })),
      { name: '9999-test' },
    ]);
  });
});
