/**
 * The outbox of accounts: addresses whose accounts in the region's user pool have to be compared with the registry.
 *
 * States of an address: requested ──leased──▶ in work ──done, no request since──▶ (no row)
 *   in work ──a request since, or released──▶ requested;   in work ──failed──▶ requested, later
 *   in work ──the lease expires, because the run has died──▶ requested
 *   in work ──the account is nobody's any more──▶ requested, at the end of its retention
 * Invariants: a request is added in the transaction that changes the membership; of two runs, only one works on an
 * address at a time, so that no run overwrites what a later one did; memberships are read after the lease was taken.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { WITH_DATA } from '../contracts/tenant.ts';
import type { RegistryExecutor } from './data-api.ts';
import type { TimeWithoutZone } from './registry-column.ts';
import { now, secondsSince } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** Longer than a run may take. */
const LEASE = sql<TimeWithoutZone>`now() + interval '3 minutes'`;
/** A minute after the first failure, and twice as long after each further one, up to an hour. */
const LATER = sql<TimeWithoutZone>`now() + least(interval '1 hour', interval '1 minute' * power(2, least(attempts, 10)))`;

/** An address that this run works on. */
export interface LeasedAccount {
  readonly email: string;
  readonly request: string;
  readonly lease: string;
  /** Time since the request. */
  readonly ageSeconds: number;
  /** Failed attempts before this one. */
  readonly attempts: number;
}

/** Requests that an address's account is compared with its memberships. Call in the transaction that changes one. */
export async function requestAccount(transaction: RegistryExecutor, email: string): Promise<void> {
  await registrySql(transaction)
    .insertInto('account_requests')
    .values({ email: email.toLowerCase() })
    .onConflict((other) => other.column('email').doUpdateSet(ANEW))
    .execute();
}

/**
 * The same for all users of a tenant; with `external`, also for their accounts of the tenant's identity provider, which
 * nothing else finds once the users' rows are deleted. Does nothing in a registry that lacks the outbox still, as that of another region
 * may during a deployment.
 */
export async function requestAccountsOf(
  transaction: RegistryExecutor,
  tenantId: string,
  { external = false }: { readonly external?: boolean } = {},
): Promise<void> {
  const [outbox] = await transaction.query<{ known: boolean }>(
    `SELECT to_regclass('public.account_requests') IS NOT NULL AS known`,
  );
  if (!outbox?.known) return;
  await registrySql(transaction)
    .insertInto('account_requests')
    .columns(['email'])
    .expression((eb) =>
      eb
        .selectFrom('tenant_users as u')
        .select((user) => user.fn<string>('lower', ['u.email']).as('email'))
        .where('u.tenant_id', '=', tenantId)
        // Without duplicates, which one statement may not insert twice.
        .union((others) =>
          others
            .selectFrom('tenant_users as e')
            .select(externalName('e').as('email'))
            .where('e.tenant_id', '=', tenantId)
            .where('e.external_auth_id', 'is not', null)
            .where(sql<boolean>`${sql.lit(external)}`),
        )
        // Transactions of several tenants lock addresses in one order.
        .orderBy('email'),
    )
    .onConflict((other) => other.column('email').doUpdateSet(ANEW))
    .execute();
}

const ANEW = {
  request: sql<string>`gen_random_uuid()`,
  requested_at: now,
  next_attempt_at: now,
  attempts: 0,
  reason: null,
};

/** Takes up to `limit` addresses that are due and that no other run works on. */
export async function leaseAccounts(registry: RegistryExecutor, limit: number): Promise<LeasedAccount[]> {
  const lease = randomUUID();
  const rows = await registrySql(registry)
    .with('due', (db) =>
      db
        .selectFrom('account_requests as a')
        .select('a.email')
        .where('a.next_attempt_at', '<=', now)
        .where((eb) => eb.or([eb('a.lease', 'is', null), eb('a.lease_expires_at', '<=', now)]))
        .orderBy('a.next_attempt_at')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .updateTable('account_requests as r')
    .from('due')
    .set({ lease, lease_expires_at: LEASE })
    .whereRef('r.email', '=', 'due.email')
    .returning(['r.email', 'r.request', 'r.attempts'])
    .returning((eb) => secondsSince(eb.ref('r.requested_at')).as('age_seconds'))
    .execute();
  return rows.map(({ age_seconds: ageSeconds, ...row }) => ({ ...row, ageSeconds, lease }));
}

/** Ends the work on an address. A request that has come since stays, and is due at once. */
export async function settleAccount(
  registry: RegistryExecutor,
  { email, request, lease }: LeasedAccount,
): Promise<void> {
  const db = registrySql(registry);
  const settled = await db
    .deleteFrom('account_requests')
    .where('email', '=', email)
    .where('request', '=', request)
    .where('lease', '=', lease)
    .returning('email')
    .execute();
  if (settled.length === 0) await release(registry, { email, lease });
}

/** Ends the work on an address whose account is to be deleted later. A request that has come since is due at once. */
export async function awaitDeletion(
  registry: RegistryExecutor,
  { email, request, lease }: LeasedAccount,
  seconds: number,
): Promise<void> {
  await registrySql(registry)
    .updateTable('account_requests')
    .set({
      next_attempt_at: sql<TimeWithoutZone>`now() + make_interval(secs => ${sql.lit(seconds)})`,
      attempts: 0,
      reason: 'The account is deleted then: nobody’s tenant has it.',
    })
    .where('email', '=', email)
    .where('request', '=', request)
    .where('lease', '=', lease)
    .execute();
  await release(registry, { email, lease });
}

async function release(
  registry: RegistryExecutor,
  { email, lease }: Pick<LeasedAccount, 'email' | 'lease'>,
): Promise<void> {
  await registrySql(registry)
    .updateTable('account_requests')
    .set({ lease: null, lease_expires_at: null })
    .where('email', '=', email)
    .where('lease', '=', lease)
    .execute();
}

/** Ends an attempt that failed; the next one is made later. @param reason without the address. */
export async function postponeAccount(
  registry: RegistryExecutor,
  { email, lease }: LeasedAccount,
  reason: string,
): Promise<void> {
  await registrySql(registry)
    .updateTable('account_requests')
    .set((eb) => ({
      attempts: eb('attempts', '+', 1),
      next_attempt_at: LATER,
      reason,
      lease: null,
      lease_expires_at: null,
    }))
    .where('email', '=', email)
    .where('lease', '=', lease)
    .execute();
}

/**
 * The tenants of which an address is an active user, by slug, and whose users may sign in. Those of a tenant that is
 * being set up get their accounts once it is active.
 */
export async function servedMemberships(registry: RegistryExecutor, email: string): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_users as u')
    .innerJoin('tenants as t', 't.tenant_id', 'u.tenant_id')
    .select('t.tenant_slug')
    .where(sql<string>`lower(u.email)`, '=', email)
    .where('u.is_active', '=', true)
    .where('t.status', 'in', WITH_DATA)
    .execute();
  return rows.map(({ tenant_slug: slug }) => slug);
}

/** Name of the account that Cognito has made for a user's `external_auth_id` (`provider:subject`), in lower case. */
export const externalAccountName = (externalAuthId: string) => externalAuthId.replace(':', '_').toLowerCase();

/** The same in SQL. @param alias of `tenant_users`. */
const externalName = (alias: 'u' | 'e') =>
  sql<string>`lower(regexp_replace(${sql.ref(`${alias}.external_auth_id`)}, ':', '_'))`;

/**
 * Whether a tenant of the registry has the user of an account, active or not, whatever state the tenant is in.
 * @param name an address, or {@link externalAccountName}.
 */
export async function isAnybodys(registry: RegistryExecutor, name: string): Promise<boolean> {
  const row = await registrySql(registry)
    .selectFrom('tenant_users as u')
    .select('u.user_id')
    .where((eb) => eb.or([eb(sql<string>`lower(u.email)`, '=', name), eb(externalName('u'), '=', name)]))
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
