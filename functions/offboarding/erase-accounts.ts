/**
 * Deletes the accounts of a tenant's users in the region's user pool. The account of a person who is a user of another
 * tenant, active or not, or an operator, stays.
 */
import { sql } from 'kysely';
import type { UserPool } from '../aws/user-pool.ts';
import { requestAccount } from '../registry/account-requests.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** Addresses per statement. */
const PAGE = 200;

export interface CountedAccounts {
  /** Accounts that nobody else needs. */
  readonly accounts: number;
  /** Those of users of other tenants, or of operators. */
  readonly others: number;
}

/** Requests for accounts of users that no other tenant has. Their rows have addresses. */
export async function countAccountRequests(registry: RegistryExecutor, tenantId: string): Promise<number> {
  const { requests } = await registrySql(registry)
    .selectFrom('account_requests as a')
    .select((eb) => eb.fn.countAll<number>().as('requests'))
    .where(ofTenantOnly(tenantId))
    .executeTakeFirstOrThrow();
  return requests;
}

/**
 * Deletes these requests, so that none makes an account after the accounts are erased. One that a run works on is left to
 * it: that run may have read the memberships before the tenant was offboarded. Runs that begin later make no account for a
 * tenant that is offboarded.
 * @returns false while a run works on one: call it again.
 */
export async function eraseAccountRequests(registry: RegistryExecutor, tenantId: string): Promise<boolean> {
  await registrySql(registry)
    .deleteFrom('account_requests as a')
    .where(ofTenantOnly(tenantId))
    .where((eb) => eb.or([eb('a.lease', 'is', null), eb('a.lease_expires_at', '<=', now)]))
    .execute();
  return (await countAccountRequests(registry, tenantId)) === 0;
}

/** A condition on `account_requests as a`. */
const ofTenantOnly = (tenantId: string) => sql<boolean>`
  exists (select from tenant_users as u where lower(u.email) = a.email and u.tenant_id = cast(${tenantId} as uuid))
  and not exists (
    select from tenant_users as other where lower(other.email) = a.email and other.tenant_id <> cast(${tenantId} as uuid))`;

/** The accounts of the tenant's users. */
export async function countAccounts(
  registry: RegistryExecutor,
  pool: UserPool,
  tenantId: string,
): Promise<CountedAccounts> {
  const counts = { accounts: 0, others: 0 };
  for await (const { email, isShared, external } of usersOf(registry, tenantId)) {
    if ((await pool.find(email)) !== undefined) {
      if (isShared || (await pool.isOperator(email))) counts.others += 1;
      else counts.accounts += 1;
    }
    if (external !== undefined && (await pool.find(external)) !== undefined) counts.accounts += 1;
  }
  return counts;
}

/**
 * Deletes them. A membership that another tenant adds at the same time gets its account again.
 * @param deadline on `performance.now()`'s clock.
 * @returns false when the deadline came first: call it again.
 */
export async function eraseAccounts(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  pool: UserPool,
  tenantId: string,
  deadline: number,
): Promise<boolean> {
  for await (const { email, isShared, external } of usersOf(registry, tenantId)) {
    if (performance.now() > deadline) return false;
    if (external !== undefined) await pool.remove(external);
    if (isShared || !(await isErasable(pool, email))) continue;
    await pool.remove(email);
    if (await isUserElsewhere(registry, email, tenantId)) {
      await registry.transaction((transaction) => requestAccount(transaction, email));
    }
  }
  return true;
}

async function isErasable(pool: UserPool, email: string): Promise<boolean> {
  return (await pool.find(email)) !== undefined && !(await pool.isOperator(email));
}

const elsewhere = (tenantId: string) => sql<boolean>`exists (
  select from tenant_users as other
   where lower(other.email) = lower(u.email) and other.tenant_id <> cast(${tenantId} as uuid))`;

interface User {
  /** In lower case. */
  readonly email: string;
  /** Another tenant has the user too. */
  readonly isShared: boolean;
  /** Name of the account that Cognito has made when the tenant's identity provider signed the user in. */
  readonly external: string | undefined;
}

/** In the order of their addresses. */
async function* usersOf(registry: RegistryExecutor, tenantId: string): AsyncGenerator<User> {
  let after = '';
  for (;;) {
    const rows = await registrySql(registry)
      .selectFrom('tenant_users as u')
      .select([sql<string>`lower(u.email)`.as('email'), elsewhere(tenantId).as('is_shared')])
      .select('u.external_auth_id')
      .where('u.tenant_id', '=', tenantId)
      .where(sql<boolean>`lower(u.email) > ${after}`)
      .orderBy(sql`lower(u.email)`)
      .limit(PAGE)
      .execute();
    for (const { email, is_shared: isShared, external_auth_id: id } of rows) {
      // `provider:subject`; Cognito names such an account `provider_subject`.
      yield { email, isShared, external: id?.replace(':', '_') };
    }
    const last = rows.at(-1);
    if (!last || rows.length < PAGE) return;
    after = last.email;
  }
}

async function isUserElsewhere(
  registry: RegistryExecutor,
  email: string,
  tenantId: string,
): Promise<boolean> {
  const row = await registrySql(registry)
    .selectFrom('tenant_users')
    .select('user_id')
    .where(sql<string>`lower(email)`, '=', email)
    .where('tenant_id', '<>', tenantId)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
