/**
 * Makes the accounts of the region's user pool agree with the memberships in the registry: an address has an enabled
 * account if, and only if, it is an active user of a tenant that has no identity provider of its own. An account that is
 * not wanted is disabled. Once no tenant of the registry has its user, active or not, it is deleted after
 * `FORMER_ACCOUNT_DAYS`: an erasure finds accounts by the rows of users, so it would stay for ever. Until then a membership
 * enables it, with its password and second factor. Accounts of operators are left alone when they have no membership.
 *
 * A user who was removed is also requested by the name of the account that the tenant's identity provider has signed in. It
 * is never disabled: the provider decides who signs in, and one who is added again would be locked out.
 *
 * Everything may be repeated: each address is compared anew, and what agrees already is left as it is.
 */
import type { AccountStatus, UserPool } from '../aws/user-pool.ts';
import { FORMER_ACCOUNT_DAYS } from '../contracts/offboarding-policy.ts';
import {
  awaitDeletion,
  isAnybodys,
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

export type Outcome = 'invited' | 'invited-again' | 'enabled' | 'disabled' | 'deleted' | 'unchanged';

/** Addresses that one lease takes: few enough to be done before it expires. */
const AT_ONCE = 10;
/** An invitation's password is valid for so long, in milliseconds (`tempPasswordValidity` of the user pool). */
const INVITATION_MS = 3 * 24 * 60 * 60 * 1000;
const FORMER_SECONDS = FORMER_ACCOUNT_DAYS * 24 * 60 * 60;

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
      const { outcome, deleteIn } = isWanted
        ? { outcome: await want(pool, account.email), deleteIn: undefined }
        : await leave(registry, pool, account);
      if (deleteIn === undefined) await settleAccount(registry, account);
      else await awaitDeletion(registry, account, deleteIn);
      return outcome;
    } catch (error) {
      // A failure for one address must not keep the others waiting.
      failures.push(error);
      await postponeAccount(registry, account, (error as Error).name);
      return undefined;
    }
  }
}

/** @returns `deleteIn`, in seconds, of an account that is to be deleted later. */
async function leave(
  registry: RegistryExecutor,
  pool: UserPool,
  { email, ageSeconds }: LeasedAccount,
): Promise<{ readonly outcome: Outcome; readonly deleteIn?: number | undefined }> {
  const account = await pool.find(email);
  if (!account || (await pool.isOperator(email))) return { outcome: 'unchanged' };
  const isFormer = !(await isAnybodys(registry, email));
  if (isFormer && ageSeconds >= FORMER_SECONDS) {
    await pool.remove(email);
    return { outcome: 'deleted' };
  }
  const deleteIn = isFormer ? FORMER_SECONDS - ageSeconds : undefined;
  if (!account.enabled || isExternal(account)) return { outcome: 'unchanged', deleteIn };
  await pool.disable(email);
  return { outcome: 'disabled', deleteIn };
}

const isExternal = ({ status }: AccountStatus) => status === 'EXTERNAL_PROVIDER';

async function want(pool: UserPool, email: string): Promise<Outcome> {
  const account = await pool.find(email);
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
