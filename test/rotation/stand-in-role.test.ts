import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createStandIn,
  dropStandIn,
  isUnused,
  setLoginPassword,
} from '../../functions/database/provisioning/stand-in-role.ts';
import { dropTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { asTenant, enterTenant, until } from '../enter-tenant.ts';
import { type Login, TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
});
afterAll(() => database.drop());

let counter = 0;
/** The shared roles stay as they are, so the stand-in of `strata_starter` is dropped by its test. */
async function standInOf(tenant: TestTenant): Promise<Login> {
  counter += 1;
  const login = { user: `${tenant.roleName}_s000000${counter}`, password: `password of stand-in ${counter}` };
  await createStandIn(owner, {
    principal: tenant.roleName,
    roleName: login.user,
    password: login.password,
  });
  return login;
}

const names = (client: pg.Client, tenant: TestTenant) =>
  asTenant(
    client,
    tenant,
    'read',
    async () => (await client.query('SELECT first_name FROM employees ORDER BY 1')).rows,
  );

const add = (client: pg.Client, tenant: TestTenant, name: string) =>
  asTenant(client, tenant, 'write', () =>
    client.query(`INSERT INTO employees (email, first_name, last_name) VALUES ($1, $2, 'B')`, [
      `${name}@x.test`,
      name,
    ]),
  );

describe.each(['schema', 'shared'] as const)('a stand-in of the role of a tenant (%s)', (model) => {
  test('reads and writes what the role may, and nothing of another tenant', async () => {
    const tenant = await database.addTenant(model);
    const [other, foreign] = [await database.addTenant('schema'), await database.addTenant('shared')];
    const role = await database.connect(tenant.login);
    await add(role, tenant, 'Ada');
    const login = await standInOf(tenant);
    const standIn = await database.connect(login);
    await add(standIn, tenant, 'Bea');
    expect(await names(standIn, tenant)).toEqual([{ first_name: 'Ada' }, { first_name: 'Bea' }]);
    expect(await names(role, tenant)).toHaveLength(2);
    await expect(enterTenant(standIn, other, 'read')).rejects.toMatchObject({ code: 'TN004' });
    if (model === 'schema') {
      await expect(enterTenant(standIn, foreign, 'write')).rejects.toMatchObject({ code: 'TN004' });
    }
    await expect(standIn.query(`SET ROLE ${tenant.roleName}`)).rejects.toMatchObject({ code: '42501' });
    await dropStandIn(owner, { principal: tenant.roleName, roleName: login.user });
    await expect(database.connect(login)).rejects.toMatchObject({ code: '28P01' });
    expect(await names(role, tenant)).toHaveLength(2);
  });

  test('has the limits and the settings of the role, and changes are captured', async () => {
    const tenant = await database.addTenant(model);
    const login = await standInOf(tenant);
    const settings = await owner.query(
      `SELECT rolconnlimit, rolconfig, rolcanlogin, rolinherit, rolcreaterole FROM pg_roles
       WHERE rolname IN ($1, $2) ORDER BY rolname`,
      [tenant.roleName, login.user],
    );
    expect(settings.rows[1]).toEqual(settings.rows[0]);
    await owner.query('UPDATE tenancy.placement SET capture = true WHERE tenant_id = $1', [tenant.tenantId]);
    await add(await database.connect(login), tenant, 'Captured');
    const { rows } = await owner.query(
      'SELECT table_name FROM tenancy.captured_changes WHERE tenant_id = $1',
      [tenant.tenantId],
    );
    expect(rows).toEqual([{ table_name: 'employees' }]);
    await dropStandIn(owner, { principal: tenant.roleName, roleName: login.user });
  });

  test('holds its tenant’s lock undisturbed, follows a forward and clears an expired fence', async () => {
    const tenant = await database.addTenant(model);
    const login = await standInOf(tenant);
    const standIn = await database.connect(login);
    await enterTenant(standIn, tenant, 'write');
    const { rows } = await owner.query('SELECT tenancy.end_foreign_sessions($1) AS ended', [tenant.tenantId]);
    expect(rows).toEqual([{ ended: 0 }]);
    await standIn.query('COMMIT');
    const token = '10000000-0000-4000-8000-000000000000';
    await owner.query(
      `UPDATE tenancy.placement SET state = 'fenced', fence_token = $2, fence_expires_at = now() - interval '1 s'
       WHERE tenant_id = $1`,
      [tenant.tenantId, token],
    );
    const cleared = await standIn.query('SELECT tenancy.clear_fence($1, $2) AS cleared', [
      tenant.tenantId,
      token,
    ]);
    expect(cleared.rows).toEqual([{ cleared: true }]);
    await owner.query(
      `UPDATE tenancy.placement SET epoch = 2, forward = '{"epoch": 2}', previous_role_name = $2 WHERE tenant_id = $1`,
      [tenant.tenantId, tenant.roleName],
    );
    await expect(enterTenant(standIn, tenant, 'read')).rejects.toMatchObject({ code: 'TN002' });
    await dropStandIn(owner, { principal: tenant.roleName, roleName: login.user });
  });
});

test('a request with a stand-in’s login of another tenant cannot clear a fence', async () => {
  const [tenant, other] = [await database.addTenant('schema'), await database.addTenant('schema')];
  const standIn = await database.connect(await standInOf(other));
  const token = '20000000-0000-4000-8000-000000000000';
  await owner.query(
    `UPDATE tenancy.placement SET state = 'fenced', fence_token = $2, fence_expires_at = now() - interval '1 s'
     WHERE tenant_id = $1`,
    [tenant.tenantId, token],
  );
  const { rows } = await standIn.query('SELECT tenancy.clear_fence($1, $2) AS cleared', [
    tenant.tenantId,
    token,
  ]);
  expect(rows).toEqual([{ cleared: false }]);
});

test('a new password ends the old one; open sessions stay, unless they are to end', async () => {
  const tenant = await database.addTenant('schema');
  const open = await database.connect(tenant.login);
  await setLoginPassword(owner, tenant.roleName, 'second', { endsSessions: false });
  await expect(database.connect(tenant.login)).rejects.toMatchObject({ code: '28P01' });
  expect(await names(open, tenant)).toEqual([]);
  const second = await database.connect({ ...tenant.login, password: 'second' });
  open.on('error', () => {});
  second.on('error', () => {});
  await setLoginPassword(owner, tenant.roleName, 'third', { endsSessions: true });
  await expect(open.query('SELECT 1')).rejects.toThrow();
  await expect(second.query('SELECT 1')).rejects.toThrow();
  await database.connect({ ...tenant.login, password: 'third' });
  await expect(setLoginPassword(owner, 'no_such_role', 'x', { endsSessions: false })).rejects.toMatchObject({
    name: 'LoginRoleMissing',
  });
});

test('an owner can give itself another password', async () => {
  // With the owner's attributes: the real one is every test's.
  const user = `other_owner_${process.pid}`;
  const superuser = await database.connect('superuser');
  await superuser.query(`CREATE ROLE ${user} LOGIN CREATEROLE PASSWORD 'first'`);
  const other = await database.connect({ user, password: 'first' });
  await setLoginPassword(other, user, 'another', { endsSessions: false });
  await database.connect({ user, password: 'another' });
  await expect(database.connect({ user, password: 'first' })).rejects.toMatchObject({ code: '28P01' });
});

test('a role is in use while a session of it works, or has done so a moment ago', async () => {
  const tenant = await database.addTenant('schema');
  const session = await database.connect(tenant.login);
  await session.query('SELECT 1');
  expect(await isUnused(owner, tenant.roleName, 60)).toBe(false);
  await until(async () => isUnused(owner, tenant.roleName, 0.05));
  const working = session.query('SELECT pg_sleep(1)');
  await until(async () => !(await isUnused(owner, tenant.roleName, 0)));
  await working;
});

test('dropping a tenant’s schema drops a stand-in that was left', async () => {
  const tenant = await database.addTenant('schema');
  const login = await standInOf(tenant);
  await owner.query('DELETE FROM tenancy.placement WHERE tenant_id = $1', [tenant.tenantId]);
  await dropTenantSchema(owner, tenant);
  const { rows } = await owner.query('SELECT rolname FROM pg_roles WHERE rolname IN ($1, $2)', [
    tenant.roleName,
    login.user,
  ]);
  expect(rows).toEqual([]);
});

test('every operation may be repeated', async () => {
  const tenant = await database.addTenant('schema');
  const login = await standInOf(tenant);
  const roles = { principal: tenant.roleName, roleName: login.user };
  await createStandIn(owner, { ...roles, password: 'another' });
  await database.connect({ ...login, password: 'another' });
  await dropStandIn(owner, roles);
  await dropStandIn(owner, roles);
  await expect(
    createStandIn(owner, { ...roles, principal: 'no_such_role', password: 'x' }),
  ).rejects.toMatchObject({
    name: 'LoginRoleMissing',
  });
});
