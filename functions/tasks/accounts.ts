/** Works on requested accounts of the region's user pool: right after a change of memberships, and by schedule. */

import type { IdentityProviders } from '../accounts/sign-in-claims.ts';
import { workOnAccounts } from '../accounts/work-on-accounts.ts';
import { logger } from '../aws/logger.ts';
import { UserPool } from '../aws/user-pool.ts';
import { type AccountsEnvironment, variable } from '../contracts/environments.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';

/** The function has a minute, and a call of Cognito takes ten seconds at most. */
const WORK_MS = 40_000;

const registry = registryFromEnvironment();
const pool = new UserPool(variable<AccountsEnvironment>('USER_POOL_ID'));
const providers = JSON.parse(variable<AccountsEnvironment>('IDENTITY_PROVIDERS')) as IdentityProviders;

/** @throws {AccountsNotSettled} some accounts are tried again later. */
export async function handler(): Promise<object> {
  const federated = new Set(Object.values(providers));
  const options = { federated, deadline: performance.now() + WORK_MS };
  try {
    const outcomes = await workOnAccounts(registry, pool, options);
    if (Object.keys(outcomes).length > 0) logger.info('accounts', { outcomes });
    return outcomes;
  } catch (error) {
    for (const each of error instanceof AggregateError ? error.errors : []) {
      logger.error('an account was not settled', { error: each as Error });
    }
    throw error;
  }
}
