import type { PoolAccount, UserPool, UserPools } from '../../../identity/user-pools.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { Call, Operation, ServiceModule } from '../../service.ts';

/**
 * Cognito's user administration. Invitations are recorded as sent: no mail leaves this machine, and the sign-in page asks
 * for no password. `infra/local/identity/` has the pools and the sign-in.
 */
export function cognitoIdp(pools: UserPools): ServiceModule {
  const poolOf = (input: Input, call: Call): UserPool => {
    const id = input.required('UserPoolId');
    const pool = pools.pool(id);
    if (pool?.region !== call.region) {
      throw new AwsError('ResourceNotFoundException', `User pool ${id} does not exist.`);
    }
    return pool;
  };
  /** Of the pool, which is the only type of resource. */
  const onPool = (action: string, run: (pool: UserPool, input: Input) => unknown): Operation => ({
    permissions: (input, call) => [{ action: `cognito-idp:${action}`, resource: poolOf(input, call).arn }],
    run: (input, call) => run(poolOf(input, call), input),
  });
  const onAccount = (
    action: string,
    run: (account: PoolAccount, pool: UserPool, input: Input) => unknown,
  ): Operation =>
    onPool(action, (pool, input) => {
      const account = pools.find(pool.id, input.required('Username'));
      if (!account) throw new AwsError('UserNotFoundException', 'User does not exist.');
      return run(account, pool, input) ?? {};
    });
  const setEnabled = (action: string, enabled: boolean): Operation =>
    onAccount(action, (account, pool) => {
      account.enabled = enabled;
      pools.changed(account);
      if (!enabled) pools.revokeAll(pool.id, account);
    });
  const inGroup = (action: string, change: (groups: Set<string>, name: string) => void): Operation =>
    onAccount(action, (account, _pool, input) => {
      const groups = new Set(account.groups);
      change(groups, input.required('GroupName'));
      account.groups = [...groups].sort();
      pools.changed(account);
    });

  return {
    resources: [],
    service: {
      signingNames: ['cognito-idp'],
      prefix: 'cognito-idp',
      protocol: { kind: 'json', version: '1.1' },
      accessDenied: { code: 'AccessDeniedException', status: 400 },
      operations: {
        AdminCreateUser: onPool('AdminCreateUser', (pool, input) => ({
          User: described(create(pools, pool, input), 'Attributes'),
        })),
        AdminGetUser: onAccount('AdminGetUser', (account) => described(account, 'UserAttributes')),
        AdminEnableUser: setEnabled('AdminEnableUser', true),
        AdminDisableUser: setEnabled('AdminDisableUser', false),
        AdminDeleteUser: onAccount('AdminDeleteUser', (account, pool) => pools.remove(pool.id, account)),
        AdminAddUserToGroup: inGroup('AdminAddUserToGroup', (groups, name) => groups.add(name)),
        AdminRemoveUserFromGroup: inGroup('AdminRemoveUserFromGroup', (groups, name) => groups.delete(name)),
        AdminListGroupsForUser: onAccount('AdminListGroupsForUser', (account, pool) => ({
          Groups: account.groups.map((GroupName) => ({ GroupName, UserPoolId: pool.id })),
        })),
        ListUsers: onPool('ListUsers', (pool) => ({
          Users: pools.accounts(pool.id).map((account) => described(account, 'Attributes')),
        })),
      },
    },
  };
}

function create(pools: UserPools, pool: UserPool, input: Input): PoolAccount {
  const username = input.required('Username');
  const known = pools.find(pool.id, username);
  if (input.text('MessageAction') === 'RESEND') {
    if (!known) throw new AwsError('UserNotFoundException', 'User does not exist.');
    if (known.status !== 'FORCE_CHANGE_PASSWORD') {
      throw new AwsError(
        'UnsupportedUserStateException',
        `Resend not possible. ${username} status is not FORCE_CHANGE_PASSWORD`,
      );
    }
    pools.changed(known);
    return known;
  }
  if (known) {
    throw new AwsError('UsernameExistsException', 'An account with the given email already exists.');
  }
  if (!/^[^@\s]+@[^@\s]+$/.test(username)) {
    throw new AwsError('InvalidParameterException', 'Username should be an email.');
  }
  const attributes = Object.fromEntries(
    input.inputs('UserAttributes').map((one) => [one.required('Name'), one.text('Value') ?? '']),
  );
  return pools.create(pool.id, { email_verified: 'false', ...attributes, email: username });
}

/** @param attributes what the operation calls them. */
function described(account: PoolAccount, attributes: 'Attributes' | 'UserAttributes') {
  return {
    Username: account.username,
    [attributes]: Object.entries(account.attributes).map(([Name, Value]) => ({ Name, Value })),
    UserCreateDate: account.createdAt / 1000,
    UserLastModifiedDate: account.modifiedAt / 1000,
    Enabled: account.enabled,
    UserStatus: account.status,
  };
}
