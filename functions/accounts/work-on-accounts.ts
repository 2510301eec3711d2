/**
 * Makes the accounts of the region's user pool agree with the memberships in the registry: an address has an enabled
 * account if, and only if, it is an active user of a tenant that has no identity provider of its own. An account is
 * disabled, never deleted. Accounts of operators are left alone when they have no membership.
 *
 * Everything may be repeated: each address is compared anew, and what agrees already is left as it is.
 */
import type { AccountStatus, UserPool } from '../aws/user-pool.ts';
import {
  type LeasedAccount,
  leaseAccounts,
  postponeAccount,
  servedMemberships,
  settleAccount,
} from '../registry/account-requests.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { AccountsNotSettled } from './errors.ts';

export interface WorkOptions {
  /** Slugs of the tenants whose users sign in through an identity provider. */
  readonly federated: ReadonlySet<string>;
  /** On `performance.now()`'s clock: no address is begun after it. */
  readonly deadline: number;
}

export type Outcome = 'invited' | 'invited-again' | 'enabled' | 'disabled' | 'unchanged';

/** Addresses that one lease takes: few enough to be done before it expires. */
const AT_ONCE = 10;
/** An invitation's password is valid for so long, in milliseconds (`tempPasswordValidity` of the user pool). */
const INVITATION_MS = 3 * 24 * 60 * 60 * 1000;

/**
 * Works on all addresses that are due.
 * @returns the number of addresses by outcome.
 * @throws {AccountsNotSettled} some failed, and are tried again later; all others were worked on.
 */
export async function workOnAccounts(
  registry: RegistryExecutor,
  pool: UserPool,
  { federated, deadline }: WorkOptions,
): Promise<Partial<Record<Outcome, number>>> {
  const outcomes: Partial<Record<Outcome, number>> = {};
  const failures: unknown[] = [];
  while (performance.now() < deadline) {
    const leased = await leaseAccounts(registry, AT_ONCE);
    for (const account of leased) {
      const outcome = await settle(account);
      if (outcome) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    if (leased.length < AT_ONCE) break;
  }
  if (failures.length > 0) throw new AccountsNotSettled(failures);
  return outcomes;

  async function settle(account: LeasedAccount): Promise<Outcome | undefined> {
    try {
      const slugs = await servedMemberships(registry, account.email);
      const isWanted = slugs.some((slug) => !federated.has(slug));
      const outcome = await agree(pool, account.email, isWanted);
      await settleAccount(registry, account);
      return outcome;
    } catch (error) {
      // A failure for one address must not keep the others waiting.
      failures.push(error);
      await postponeAccount(registry, account, (error as Error).name);
      return undefined;
    }
  }
}

async function agree(pool: UserPool, email: string, isWanted: boolean): Promise<Outcome> {
  const account = await pool.find(email);
  if (!isWanted) {
    if (!account?.enabled || (await pool.isOperator(email))) return 'unchanged';
    await pool.disable(email);
    return 'disabled';
  }
  if (!account) {
    await pool.invite(email);
    return 'invited';
  }
  if (!account.enabled) await pool.enable(email);
  if (hasExpired(account)) {
    await pool.inviteAgain(email);
    return 'invited-again';
  }
  return account.enabled ? 'unchanged' : 'enabled';
}

/** Nobody has used the invitation, and nobody can any more. */
function hasExpired({ status, modifiedAt }: AccountStatus): boolean {
  return status === 'FORCE_CHANGE_PASSWORD' && Date.now() - modifiedAt.getTime() > INVITATION_MS;
}
