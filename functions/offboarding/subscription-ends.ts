/**
 * What happens when a subscription ends, day by day:
 *
 *   end − noticeDays        notice, once for each of the days
 *   end                     notice
 *   end + grace             suspended
 *   … + suspendedDays       offboarded: its own grace period begins; never while it has a legal hold
 *
 * A tenant without an end date is never touched. Each is announced once for each end date. Another end date begins anew:
 * a tenant that was suspended for an earlier one is served again when the new one lies ahead.
 *
 * No tenant that is served is offboarded, however long ago its end is: it is suspended first, and `suspendedDays` are
 * counted from that day. So a wrong date suspends a tenant, and does not erase it. Where an operator has suspended the
 * tenant, they are counted from the day on which its offboarding was announced.
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

/** The notice of a suspension, followed by its day: a tenant that an operator serves again is suspended again. */
const SUSPENDED = 'suspended ';

/** Days from one date to another; negative where the second is earlier. */
const daysBetween = (from: string, to: string) => Math.round((Date.parse(to) - Date.parse(from)) / DAY);

export type Step = 'notice' | 'suspend' | 'announce' | 'offboard' | 'resume' | 'none';

/** What the step of a tenant depends on, besides the date. */
export interface SubscriptionState {
  readonly status: string;
  readonly isSuspendedByUs: boolean;
  /** Days since its suspension was announced for this end date; null where it was not. */
  readonly announcedFor: number | null;
  /** It has a legal hold. */
  readonly isHeld: boolean;
}

/** What is due for a tenant. @param left days until the end of its subscription; negative after it. */
export function stepOf(
  { noticeDays, subscriptionGraceDays, suspendedDays }: OffboardingPolicy,
  left: number,
  { status, isSuspendedByUs, announcedFor, isHeld }: SubscriptionState,
): Step {
  if (left >= 0 && isSuspendedByUs) return 'resume';
  if (-left < subscriptionGraceDays) return left <= Math.max(0, ...noticeDays) ? 'notice' : 'none';
  if (status === 'active') return 'suspend';
  if (isHeld) return 'none';
  if (announcedFor === null) return 'announce';
  return announcedFor >= suspendedDays ? 'offboard' : 'none';
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
      const step = stepOf(policy, left, {
        status: tenant.status,
        isSuspendedByUs,
        announcedFor: tenant.announced_on === null ? null : daysBetween(tenant.announced_on, today),
        isHeld: tenant.is_held,
      });
      if (step === 'notice') run.notices += Number(await announce(registry, tenant, left, options));
      if (step === 'announce') run.notices += Number(await announceOffboarding(registry, tenant, options));
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
    .select((eb) => [
      eb('t.legal_hold', 'is not', null).$castTo<boolean>().as('is_held'),
      eb.ref('t.subscription_end_date').$notNull().as('end_date'),
      eb
        .selectFrom('subscription_notices as n')
        .select(sql<string | null>`max(substr(n.notice, ${sql.lit(SUSPENDED.length + 1)}))`.as('day'))
        .whereRef('n.tenant_id', '=', 't.tenant_id')
        .whereRef('n.end_date', '=', 't.subscription_end_date')
        .where('n.notice', 'like', `${SUSPENDED}%`)
        .as('announced_on'),
    ])
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
  const known = await registrySql(registry)
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
  await keepNotice(registry, { tenantId, endDate, notice });
  return true;
}

/** For a tenant that an operator has suspended: it will be offboarded because its subscription has ended. */
async function announceOffboarding(
  registry: RegistryExecutor,
  tenant: EndingTenant,
  { today, policy, publish }: SubscriptionRunOptions,
): Promise<boolean> {
  await publish({
    subject: `Strata: ${tenant.tenant_slug} will be offboarded`,
    message: `Tenant ${tenant.tenant_slug} (${tenant.tenant_id}) is suspended, and its subscription ended on ${tenant.end_date}. ${leftUntilOffboarding(policy)}`,
  });
  await keepNotice(registry, {
    tenantId: tenant.tenant_id,
    endDate: tenant.end_date,
    notice: `${SUSPENDED}${today}`,
  });
  return true;
}

const leftUntilOffboarding = ({ suspendedDays }: OffboardingPolicy): string =>
  `In ${suspendedDays} days it is offboarded, unless its subscription gets another end date.`;

const HELD = 'It has a legal hold, so it is not offboarded before that is released.';

async function keepNotice(
  registry: RegistryExecutor,
  notice: { readonly tenantId: string; readonly endDate: string; readonly notice: string },
): Promise<void> {
  await registrySql(registry)
    .insertInto('subscription_notices')
    .values({ tenant_id: notice.tenantId, end_date: notice.endDate, notice: notice.notice })
    .onConflict((other) => other.columns(['tenant_id', 'end_date', 'notice']).doNothing())
    .execute();
}

/** The notice is published before the change commits: when it is not accepted, the next run suspends the tenant. */
const suspend = (
  registry: Pick<DataApi, 'transaction'>,
  tenant: EndingTenant,
  options: SubscriptionRunOptions,
): Promise<boolean> =>
  change(registry, tenant, 'suspended', options, async (transaction) => {
    const { tenant_id: tenantId, tenant_slug: slug, end_date: endDate, is_held: isHeld } = tenant;
    await keepNotice(transaction, { tenantId, endDate, notice: `${SUSPENDED}${options.today}` });
    await options.publish({
      subject: `Strata: ${slug} is suspended`,
      message: `Tenant ${slug} (${tenantId}) is suspended, because its subscription ended on ${endDate}. ${isHeld ? HELD : leftUntilOffboarding(options.policy)}`,
    });
  });

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
  beforeCommit: (transaction: RegistryExecutor) => Promise<void> = async () => {},
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
    await beforeCommit(transaction);
    return true;
  });
}
