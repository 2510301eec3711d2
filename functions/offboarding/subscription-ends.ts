/**
 * What happens when a subscription ends, day by day:
 *
 *   end − noticeDays        notice, once for each of the days
 *   end                     notice
 *   end + grace             suspended
 *   … + suspendedDays       offboarded: its own grace period begins
 *
 * A tenant without an end date is never touched. Each is announced once for each end date. Another end date begins anew:
 * a tenant that was suspended for an earlier one is served again when the new one lies ahead.
 */

import { type InferResult, sql } from 'kysely';
import type { OffboardingPolicy } from '../contracts/offboarding-policy.ts';
import { IN_USE } from '../contracts/tenant.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now as registryNow } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';

export interface SubscriptionRunOptions {
  readonly policy: OffboardingPolicy;
  /** `YYYY-MM-DD`, UTC. */
  readonly today: string;
  readonly actor: AuditActor;
  /** Requests an offboarding. @throws its refusals: it is tried again tomorrow. */
  readonly offboard: (tenantId: string) => Promise<unknown>;
  readonly publish: (message: { readonly subject: string; readonly message: string }) => Promise<void>;
  readonly onFailure: (tenantId: string, error: unknown) => void;
}

export interface SubscriptionRun {
  readonly notices: number;
  readonly suspended: number;
  readonly resumed: number;
  readonly offboarded: number;
  readonly failures: number;
}

/** The status reason of a tenant that this run has suspended. May be shown to a client. */
export const SUBSCRIPTION_ENDED = 'The subscription has ended.';

const DAY = 86_400_000;

/** Days from one date to another; negative where the second is earlier. */
const daysBetween = (from: string, to: string) => Math.round((Date.parse(to) - Date.parse(from)) / DAY);

export type Step = 'notice' | 'suspend' | 'offboard' | 'resume' | 'none';

/** What is due for a tenant. @param left days until the end of its subscription; negative after it. */
export function stepOf(
  { noticeDays, subscriptionGraceDays, suspendedDays }: OffboardingPolicy,
  left: number,
  { status, isSuspendedByUs }: { readonly status: string; readonly isSuspendedByUs: boolean },
): Step {
  if (left >= 0 && isSuspendedByUs) return 'resume';
  const since = -left;
  if (since >= subscriptionGraceDays + suspendedDays) return 'offboard';
  if (since >= subscriptionGraceDays) return status === 'active' ? 'suspend' : 'none';
  return left <= Math.max(0, ...noticeDays) ? 'notice' : 'none';
}

/** The smallest of the notices that is due: a run that was left out is not made up for one by one. */
export function noticeOf({ noticeDays }: OffboardingPolicy, left: number): string {
  if (left <= 0) return 'ended';
  return `${Math.min(...noticeDays.filter((days) => days >= left))} days`;
}

/** Does what is due today. May be repeated. */
export async function endSubscriptions(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  options: SubscriptionRunOptions,
): Promise<SubscriptionRun> {
  const { policy, today, onFailure } = options;
  const run = { notices: 0, suspended: 0, resumed: 0, offboarded: 0, failures: 0 };
  for (const tenant of await endingTenants(registry)) {
    const left = daysBetween(today, tenant.end_date);
    const isSuspendedByUs = tenant.status === 'suspended' && tenant.status_reason === SUBSCRIPTION_ENDED;
    try {
      const step = stepOf(policy, left, { status: tenant.status, isSuspendedByUs });
      if (step === 'notice') run.notices += Number(await announce(registry, tenant, left, options));
      if (step === 'suspend') run.suspended += Number(await suspend(registry, tenant, options));
      if (step === 'resume') run.resumed += Number(await resume(registry, tenant, options));
      if (step === 'offboard') {
        await options.offboard(tenant.tenant_id);
        run.offboarded += 1;
      }
    } catch (error) {
      run.failures += 1;
      onFailure(tenant.tenant_id, error);
    }
  }
  return run;
}

const endingQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenants as t')
    .select(['t.tenant_id', 't.tenant_slug', 't.status', 't.status_reason'])
    .select((eb) => eb.ref('t.subscription_end_date').$notNull().as('end_date'))
    .where('t.subscription_end_date', 'is not', null)
    .where('t.status', 'in', IN_USE)
    // A tenant without its rows waits for a restore.
    .where('t.lost', 'is', null)
    .orderBy('t.tenant_id');

type EndingTenant = InferResult<ReturnType<typeof endingQuery>>[number];

const endingTenants = (registry: RegistryExecutor) => endingQuery(registry).execute();

/** Published before it is recorded: a notice may come twice, but is never lost. */
async function announce(
  registry: RegistryExecutor,
  { tenant_id: tenantId, tenant_slug: slug, end_date: endDate }: EndingTenant,
  left: number,
  { policy, publish }: SubscriptionRunOptions,
): Promise<boolean> {
  const notice = noticeOf(policy, left);
  const db = registrySql(registry);
  const known = await db
    .selectFrom('subscription_notices')
    .select('notice')
    .where('tenant_id', '=', tenantId)
    .where('end_date', '=', endDate)
    .where('notice', '=', notice)
    .executeTakeFirst();
  if (known) return false;
  const when = left > 0 ? `ends on ${endDate}, in ${left} days` : `has ended on ${endDate}`;
  await publish({
    subject: `Strata: the subscription of ${slug} ${left > 0 ? 'ends soon' : 'has ended'}`,
    message: `The subscription of tenant ${slug} (${tenantId}) ${when}. ${policy.subscriptionGraceDays} days after its end the tenant is suspended, and ${policy.suspendedDays} days later it is offboarded.`,
  });
  await db
    .insertInto('subscription_notices')
    .values({ tenant_id: tenantId, end_date: endDate, notice })
    .onConflict((other) => other.columns(['tenant_id', 'end_date', 'notice']).doNothing())
    .execute();
  return true;
}

async function suspend(
  registry: Pick<DataApi, 'transaction'>,
  tenant: EndingTenant,
  options: SubscriptionRunOptions,
): Promise<boolean> {
  const { policy, publish } = options;
  if (!(await change(registry, tenant, 'suspended', options))) return false;
  await publish({
    subject: `Strata: ${tenant.tenant_slug} is suspended`,
    message: `Tenant ${tenant.tenant_slug} (${tenant.tenant_id}) is suspended, because its subscription ended on ${tenant.end_date}. In ${policy.suspendedDays} days it is offboarded, unless its subscription gets another end date.`,
  });
  return true;
}

const resume = (
  registry: Pick<DataApi, 'transaction'>,
  tenant: EndingTenant,
  options: SubscriptionRunOptions,
): Promise<boolean> => change(registry, tenant, 'active', options);

/** @returns false where the tenant or its end date has changed since it was read. */
function change(
  registry: Pick<DataApi, 'transaction'>,
  { tenant_id: tenantId, end_date: endDate, status }: EndingTenant,
  to: 'active' | 'suspended',
  { actor }: SubscriptionRunOptions,
): Promise<boolean> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const changed = await registrySql(transaction)
      .updateTable('tenants')
      .set({
        status: to,
        status_reason: to === 'suspended' ? SUBSCRIPTION_ENDED : sql<string | null>`null`,
        updated_at: registryNow,
      })
      .where('tenant_id', '=', tenantId)
      .where('status', '=', status)
      .where('subscription_end_date', '=', endDate)
      .returning('tenant_id')
      .execute();
    if (changed.length === 0) return false;
    await recordAudit(transaction, {
      actor,
      action: to === 'suspended' ? 'subscription.suspend' : 'subscription.resume',
      tenantId,
      data: { endDate },
    });
    return true;
  });
}
