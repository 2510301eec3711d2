import { randomUUID } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { leaveRegistry } from '../../functions/moves/other-region/tenant-row.ts';
import {
  awaitDeletion,
  leaseAccounts,
  postponeAccount,
  requestAccount,
  requestAccountsOf,
  settleAccount,
} from '../../functions/registry/account-requests.ts';
import { createUser, deleteUser, updateUser } from '../../functions/registry/tenant-users.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
let writer: RegistryOverPostgres;
/** Two runs of the task. */
let one: RegistryOverPostgres;
let two: RegistryOverPostgres;
ownRegistry(async (own) => {
  database = own;
  writer = await database.registry();
  [one, two] = [await database.registry('registryUsers'), await database.registry('registryUsers')];
});
beforeEach(() => writer.query('DELETE FROM account_requests'));

const rows = () => writer.query('SELECT email, attempts, reason FROM account_requests ORDER BY email');

async function addTenant(): Promise<string> {
  const tenantId = randomUUID();
  await writer.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region)
     VALUES (:tenantId::uuid, :tenantId, :tenantId, 'shared', 'starter', 'active', 'us')`,
    { tenantId },
  );
  return tenantId;
}

test('an address that was requested several times is worked on once', async () => {
  await requestAccount(one, 'Ada@X.test');
  await requestAccount(one, 'ada@x.test');
  const [ada, ...others] = await leaseAccounts(one, 10);
  expect([ada?.email, others]).toEqual(['ada@x.test', []]);
  await settleAccount(one, ada!);
  expect(await rows()).toEqual([]);
});

test('of two runs, one works on an address', async () => {
  for (const name of ['a', 'b', 'c']) await requestAccount(one, `${name}@x.test`);
  const [first, second] = await Promise.all([leaseAccounts(one, 2), leaseAccounts(two, 2)]);
  const all = [...first, ...second].map(({ email }) => email).sort();
  expect(all).toEqual(['a@x.test', 'b@x.test', 'c@x.test']);
  expect(await leaseAccounts(one, 10)).toEqual([]);
});

test('a request that comes during the work is worked on after it, by nobody before', async () => {
  await requestAccount(one, 'ada@x.test');
  const [ada] = await leaseAccounts(one, 1);
  await requestAccount(two, 'ada@x.test');
  expect(await leaseAccounts(two, 1)).toEqual([]);
  await settleAccount(one, ada!);
  const [again] = await leaseAccounts(two, 1);
  expect(again).toMatchObject({ email: 'ada@x.test' });
  expect(again?.request).not.toBe(ada?.request);
  // The first run is late and has no say any more.
  await settleAccount(one, ada!);
  await postponeAccount(one, ada!, 'late');
  expect(await rows()).toEqual([{ email: 'ada@x.test', attempts: 0, reason: null }]);
  expect(await leaseAccounts(one, 1)).toEqual([]);
});

test('a tenant that leaves requests the accounts of its users, and those of its identity provider', async () => {
  const tenantId = await addTenant();
  await writer.query(
    `INSERT INTO tenant_users (tenant_id, email, role, external_auth_id)
     VALUES (:tenantId::uuid, 'Ada@x.test', 'admin', 'Corp:A:1'), (:tenantId::uuid, 'bob@x.test', 'viewer', NULL)`,
    { tenantId },
  );
  const emails = async () => (await rows()).map((row) => (row as { email: string }).email);
  await requestAccountsOf(writer, tenantId);
  expect(await emails()).toEqual(['ada@x.test', 'bob@x.test']);
  await leaveRegistry(writer, tenantId, 'eu', ['active']);
  expect(await emails()).toEqual(['ada@x.test', 'bob@x.test', 'corp_a:1']);
});

test('an account that is to be deleted waits, but for a request that comes during the work or later', async () => {
  await requestAccount(one, 'ada@x.test');
  const [first] = await leaseAccounts(one, 1);
  await requestAccount(two, 'ada@x.test');
  await awaitDeletion(one, first!, 3_600);
  const [second] = await leaseAccounts(one, 1);
  expect(second?.request).not.toBe(first?.request);
  await awaitDeletion(one, second!, 3_600);
  expect(await leaseAccounts(two, 1)).toEqual([]);
  await requestAccount(two, 'ada@x.test');
  expect(await leaseAccounts(two, 1)).toMatchObject([{ email: 'ada@x.test' }]);
});

test('the work of a run that has died is done by another one', async () => {
  await requestAccount(one, 'ada@x.test');
  await leaseAccounts(one, 1);
  await writer.query("UPDATE account_requests SET lease_expires_at = now() - interval '1 second'");
  expect(await leaseAccounts(two, 1)).toMatchObject([{ email: 'ada@x.test' }]);
});

test('an attempt that failed is made again later, ever more rarely, and at once after another request', async () => {
  await requestAccount(one, 'ada@x.test');
  const minutes: number[] = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const [ada] = await leaseAccounts(one, 1);
    expect(ada?.attempts).toBe(attempt);
    await postponeAccount(one, ada!, 'TooManyRequestsException');
    expect(await leaseAccounts(one, 1)).toEqual([]);
    const [due] = await writer.query<{ wait: number }>(
      'SELECT round(extract(epoch FROM next_attempt_at - now()) / 60)::int AS wait FROM account_requests',
    );
    minutes.push(due!.wait);
    await writer.query('UPDATE account_requests SET next_attempt_at = now()');
  }
  expect(minutes).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  await requestAccount(one, 'ada@x.test');
  expect(await rows()).toEqual([{ email: 'ada@x.test', attempts: 0, reason: null }]);
});

test('every change of a membership requests the account, and one that fails does not', async () => {
  const tenantId = await addTenant();
  const by = { actor: { id: 'ops', type: 'operator' } as const, ifMatch: undefined };
  const create = (email: string, more: object = {}) =>
    createUser(one, tenantId, { email, role: 'admin' }, { ...by, idempotency: undefined, ...more });
  const { user: ada } = await create('ada@x.test');
  const requested = async () => {
    const found = (await rows()).map((row) => (row as { email: string }).email);
    await writer.query('DELETE FROM account_requests');
    return found;
  };
  expect(await requested()).toEqual(['ada@x.test']);
  const failing = { beforeCommit: () => Promise.reject(new Error('the tenant’s log cannot be written')) };
  await expect(create('bob@x.test', failing)).rejects.toThrow('cannot be written');
  expect(await requested()).toEqual([]);
  const { user: bob } = await create('bob@x.test');
  await requested();
  await updateUser(one, tenantId, bob.userId, { role: 'viewer' }, by);
  expect(await requested()).toEqual([]);
  await updateUser(one, tenantId, bob.userId, { isActive: false }, by);
  expect(await requested()).toEqual(['bob@x.test']);
  await deleteUser(one, tenantId, bob.userId, by);
  expect(await requested()).toEqual(['bob@x.test']);
  await expect(deleteUser(one, tenantId, ada.userId, by)).rejects.toThrow('The last active admin');
  expect(await requested()).toEqual([]);
  await requestAccountsOf(one, tenantId);
  expect(await requested()).toEqual(['ada@x.test']);
});

test('all users of a tenant are requested, or none in the registry of a region that lacks the outbox still', async () => {
  const tenantId = await addTenant();
  await writer.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'ada@x.test', 'admin')`,
    { tenantId },
  );
  const master = await database.connect('master');
  await master.query('ALTER TABLE account_requests RENAME TO later');
  try {
    await requestAccountsOf(writer, tenantId);
  } finally {
    await master.query('ALTER TABLE later RENAME TO account_requests');
  }
  expect(await rows()).toEqual([]);
  await requestAccountsOf(writer, tenantId);
  expect(await rows()).toMatchObject([{ email: 'ada@x.test' }]);
});
