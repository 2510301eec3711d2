import { randomUUID } from 'node:crypto';
import {
  AdminAddUserToGroupCommand,
  AdminCreateUserCommand,
  AdminDisableUserCommand,
  AdminGetUserCommand,
  CognitoIdentityProviderClient,
} from '@aws-sdk/client-cognito-identity-provider';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AccountsNotSettled } from '../../functions/accounts/errors.ts';
import { workOnAccounts } from '../../functions/accounts/work-on-accounts.ts';
import { UserPool } from '../../functions/aws/user-pool.ts';
import { requestAccount } from '../../functions/registry/account-requests.ts';
import { deleteUser } from '../../functions/registry/tenant-users.ts';
import { stateFile } from '../../infra/local/index.ts';
import { type EndpointFixture, startEndpoint } from '../local/aws/endpoint-fixture.ts';
import { poolStack } from '../local/aws/pool-stack.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase } from '../test-database.ts';

let fixture: EndpointFixture;
let database: TestDatabase;
let writer: RegistryOverPostgres;
/** With the rights that the task has. */
let registry: RegistryOverPostgres;
let pool: UserPool;
let administrator: CognitoIdentityProviderClient;
let UserPoolId: string;
beforeAll(async () => {
  fixture = await startEndpoint([
    poolStack([
      {
        Action: [
          'cognito-idp:AdminCreateUser',
          'cognito-idp:AdminDeleteUser',
          'cognito-idp:AdminDisableUser',
          'cognito-idp:AdminEnableUser',
          'cognito-idp:AdminGetUser',
          'cognito-idp:AdminListGroupsForUser',
        ],
        Resource: { 'Fn::GetAtt': ['Pool', 'Arn'] },
      },
    ]),
  ]);
  const { credentials } = fixture.client('Accounts');
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: fixture.platform.awsUrl,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  });
  UserPoolId = [...fixture.platform.context.stacks.values()].find(({ name }) => name === 'Pools')!.outputs
    .Pool!;
  pool = new UserPool(UserPoolId);
  administrator = new CognitoIdentityProviderClient(fixture.client());
  database = await TestDatabase.cloneRegistry();
  writer = await database.registry();
  registry = await database.registry('registryUsers');
});
afterAll(async () => {
  await fixture?.stop();
  await database?.drop();
});

let email: string;
beforeEach(async () => {
  email = `${randomUUID()}@people.test`;
  await writer.query('DELETE FROM account_requests');
});

async function addTenant(status = 'active'): Promise<{ tenantId: string; slug: string }> {
  const tenantId = randomUUID();
  const slug = `t-${tenantId.slice(0, 8)}`;
  await writer.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region)
     VALUES (:tenantId::uuid, :slug, :slug, 'shared', 'starter', :status, 'us')`,
    { tenantId, slug, status },
  );
  return { tenantId, slug };
}

/** A membership and the request that belongs to it. */
async function join({ tenantId }: { tenantId: string }, address = email): Promise<void> {
  await writer.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :address, 'member')`,
    { tenantId, address },
  );
  await requestAccount(registry, address);
}

async function setActive({ tenantId }: { tenantId: string }, isActive: boolean): Promise<void> {
  await writer.query(
    'UPDATE tenant_users SET is_active = :isActive WHERE tenant_id = :tenantId::uuid AND email = :email',
    { tenantId, isActive, email },
  );
  await requestAccount(writer, email);
}

const work = (federated: readonly string[] = []) =>
  workOnAccounts(registry, pool, { federated: new Set(federated), deadline: performance.now() + 20_000 });
const account = (Username = email) => administrator.send(new AdminGetUserCommand({ UserPoolId, Username }));
const waiting = () => writer.query('SELECT email, attempts, reason FROM account_requests ORDER BY email');

describe('an address', () => {
  test('is invited with its first membership, and once', async () => {
    await join(await addTenant());
    expect(await work()).toEqual({ invited: 1 });
    expect(await account()).toMatchObject({
      Enabled: true,
      UserStatus: 'FORCE_CHANGE_PASSWORD',
      UserAttributes: expect.arrayContaining([{ Name: 'email_verified', Value: 'true' }]),
    });
    await join(await addTenant());
    expect(await work()).toEqual({ unchanged: 1 });
    expect(await work()).toEqual({});
    expect(await waiting()).toEqual([]);
  });

  test('is disabled when no active membership is left, and enabled by a new one', async () => {
    const [one, two] = [await addTenant(), await addTenant()];
    await join(one);
    await join(two);
    await work();
    await setActive(one, false);
    expect(await work()).toEqual({ unchanged: 1 });
    await setActive(two, false);
    expect(await work()).toEqual({ disabled: 1 });
    expect(await account()).toMatchObject({ Enabled: false });
    await setActive(one, true);
    expect(await work()).toEqual({ enabled: 1 });
    expect(await account()).toMatchObject({ Enabled: true });
  });

  test.each([
    ['provisioning', {}],
    ['failed', {}],
    ['suspended', { invited: 1 }],
    ['offboarded', {}],
  ] as const)('of a tenant that is %s', async (status, outcome) => {
    await join(await addTenant(status));
    expect(await work()).toEqual(Object.keys(outcome).length > 0 ? outcome : { unchanged: 1 });
  });

  test('of a tenant with an identity provider gets no account, but that of another tenant', async () => {
    const federated = await addTenant();
    await join(federated);
    expect(await work([federated.slug])).toEqual({ unchanged: 1 });
    await expect(account()).rejects.toMatchObject({ name: 'UserNotFoundException' });
    await join(await addTenant());
    expect(await work([federated.slug])).toEqual({ invited: 1 });
  });

  test('of an operator keeps its account', async () => {
    await administrator.send(new AdminCreateUserCommand({ UserPoolId, Username: email }));
    const group = { UserPoolId, Username: email, GroupName: 'operators' };
    await administrator.send(new AdminAddUserToGroupCommand(group));
    await requestAccount(registry, email);
    expect(await work()).toEqual({ unchanged: 1 });
    expect(await account()).toMatchObject({ Enabled: true });
  });

  test('whose invitation has expired is invited again by the next request', async () => {
    const tenant = await addTenant();
    await join(tenant);
    await work();
    await setActive(tenant, true);
    expect(await work()).toEqual({ unchanged: 1 });
    await age(email, 3 * 24 * 60 + 1);
    await setActive(tenant, true);
    expect(await work()).toEqual({ 'invited-again': 1 });
    expect(Date.now() - (await account()).UserLastModifiedDate!.getTime()).toBeLessThan(60_000);
  });
});

/** Has the account changed last some minutes ago. */
async function age(address: string, minutes: number): Promise<void> {
  await fixture.restart(() => {
    const state = stateFile(`${fixture.stateDir}/state`);
    type Accounts = { accounts: Record<string, { attributes: { email: string }; modifiedAt: number }[]> };
    const pools = state.load<Accounts>('user-pools', { accounts: {} });
    const one = pools.accounts[UserPoolId]!.find(({ attributes }) => attributes.email === address)!;
    one.modifiedAt -= minutes * 60_000;
    state.save('user-pools', pools);
  });
}

/** Lets days pass for what waits in the outbox. */
const pass = (days: number) =>
  writer.query(
    `UPDATE account_requests SET requested_at = requested_at - :days * interval '24 hours',
                                 next_attempt_at = next_attempt_at - :days * interval '24 hours'`,
    { days },
  );

async function remove({ tenantId }: { tenantId: string }): Promise<void> {
  const [user] = await writer.query<{ userId: string }>(
    'SELECT user_id AS "userId" FROM tenant_users WHERE tenant_id = :tenantId::uuid AND email = :email',
    { tenantId, email },
  );
  const change = { actor: { id: 'x', type: 'operator' }, ifMatch: undefined } as const;
  await deleteUser(writer, tenantId, user!.userId, change);
}

describe('the account of a person who was removed', () => {
  test('is disabled, and deleted after a week when no tenant has the person', async () => {
    const tenant = await addTenant();
    await join(tenant);
    await work();
    await remove(tenant);
    expect(await work()).toEqual({ disabled: 1 });
    expect(await work()).toEqual({});
    await pass(6);
    expect(await work()).toEqual({});
    expect(await account()).toMatchObject({ Enabled: false });
    await pass(1);
    expect(await work()).toEqual({ deleted: 1 });
    await expect(account()).rejects.toMatchObject({ name: 'UserNotFoundException' });
    expect(await waiting()).toEqual([]);
    // Added again afterwards: a person like any other.
    await join(tenant);
    expect(await work()).toEqual({ invited: 1 });
  });

  test('signs in as before when the person is added again in that time, and is not deleted later', async () => {
    const tenant = await addTenant();
    await join(tenant);
    await work();
    await remove(tenant);
    await work();
    const { UserCreateDate } = await account();
    await join(tenant);
    expect(await work()).toEqual({ enabled: 1 });
    await pass(8);
    expect(await work()).toEqual({});
    expect(await account()).toMatchObject({ Enabled: true, UserCreateDate });
    // Nor when the next removal comes: its own week begins.
    await remove(tenant);
    expect(await work()).toEqual({ disabled: 1 });
    await pass(6);
    expect(await work()).toEqual({});
  });

  test.each([
    ['an inactive user of another tenant', 'active', { disabled: 1 }],
    ['a user of a tenant that could not be onboarded', 'failed', { disabled: 1 }],
  ] as const)('stays while the person is %s', async (_what, status, outcome) => {
    const [tenant, other] = [await addTenant(), await addTenant(status)];
    await join(tenant);
    await work();
    await join(other);
    await setActive(other, false);
    await remove(tenant);
    expect(await work()).toEqual(outcome);
    expect(await waiting()).toEqual([]);
    await requestAccount(writer, email);
    await pass(8);
    expect(await work()).toEqual({ unchanged: 1 });
    expect(await account()).toMatchObject({ Enabled: false });
  });

  test('stays as it is where the person is an operator', async () => {
    await administrator.send(new AdminCreateUserCommand({ UserPoolId, Username: email }));
    const group = { UserPoolId, Username: email, GroupName: 'operators' };
    await administrator.send(new AdminAddUserToGroupCommand(group));
    const tenant = await addTenant();
    await join(tenant);
    await remove(tenant);
    await pass(8);
    expect(await work()).toEqual({ unchanged: 1 });
    expect(await account()).toMatchObject({ Enabled: true });
  });

  test('which the tenant’s identity provider has signed in is deleted too, unless the person has come back', async () => {
    const names = [`Corp_${email}`, `Corp_back-${email}`];
    await fixture.restart(() => {
      const state = stateFile(`${fixture.stateDir}/state`);
      const pools = state.load<{ accounts: Record<string, object[]> }>('user-pools', { accounts: {} });
      const [like] = pools.accounts[UserPoolId]!;
      for (const username of names) {
        const sub = randomUUID();
        const attributes = { sub, email: username };
        pools.accounts[UserPoolId]!.push({
          ...like,
          username,
          attributes,
          status: 'EXTERNAL_PROVIDER',
          groups: [],
          enabled: true,
        });
      }
      state.save('user-pools', pools);
    });
    const tenant = await addTenant();
    const bind = (subject: string) =>
      writer.query(
        'UPDATE tenant_users SET external_auth_id = :id WHERE tenant_id = :tenantId::uuid AND email = :email',
        { id: `Corp:${subject}`, tenantId: tenant.tenantId, email },
      );
    for (const subject of [email, `back-${email}`]) {
      await join(tenant);
      await bind(subject);
      await remove(tenant);
    }
    expect(await work([tenant.slug])).toEqual({ unchanged: 3 });
    // The provider has signed the person in again.
    await join(tenant);
    await bind(`back-${email}`);
    await pass(7);
    expect(await work([tenant.slug])).toEqual({ deleted: 1, unchanged: 2 });
    await expect(account(names[0])).rejects.toMatchObject({ name: 'UserNotFoundException' });
    expect(await account(names[1])).toMatchObject({ Enabled: true });
    expect(await waiting()).toEqual([]);
  });
});

describe('a run', () => {
  test('works on all that is due, and one address that fails keeps no other waiting', async () => {
    const tenant = await addTenant();
    // Longer than Cognito takes: the local endpoint has no such limit, so it is one that it refuses.
    const refused = `refused ${email}`;
    for (let n = 0; n < 24; n += 1) await join(tenant, `${n}-${email}`);
    await join(tenant, refused);
    const failure: unknown = await work().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AccountsNotSettled);
    expect((failure as AccountsNotSettled).errors).toHaveLength(1);
    expect(await waiting()).toEqual([{ email: refused, attempts: 1, reason: 'InvalidParameterException' }]);
    for (const n of [0, 11, 23]) expect(await account(`${n}-${email}`)).toMatchObject({ Enabled: true });
    // It is not due yet.
    expect(await work()).toEqual({});
  });

  test('leaves what it finds done already, and repeats what a dead run has not recorded', async () => {
    const tenant = await addTenant();
    await join(tenant);
    await work();
    await administrator.send(new AdminDisableUserCommand({ UserPoolId, Username: email }));
    // The account was changed, and the run died before it removed the request.
    await requestAccount(registry, email);
    await writer.query(
      "UPDATE account_requests SET lease = gen_random_uuid(), lease_expires_at = now() - interval '1 second'",
    );
    expect(await work()).toEqual({ enabled: 1 });
    await requestAccount(registry, email);
    expect(await work()).toEqual({ unchanged: 1 });
  });

  test('beside another one, for changes that keep coming, ends as the registry says', async () => {
    const tenant = await addTenant();
    await join(tenant);
    await work();
    const second = await database.registry('registryUsers');
    const options = { federated: new Set<string>(), deadline: performance.now() + 20_000 };
    for (let round = 0; round < 6; round += 1) {
      const isActive = round % 2 === 1;
      const runs = [work(), setActive(tenant, isActive), workOnAccounts(second, pool, options)];
      await Promise.all(runs);
      await work();
      expect(await account()).toMatchObject({ Enabled: isActive });
    }
    expect(await waiting()).toEqual([]);
  });
});
