import { unsatisfied, weaker } from '../contracts/compliance.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { compilingOnly, registrySql } from '../registry/registry-sql.ts';
import type { TenantRecord } from '../registry/tenant-record.ts';
import type { Forbidden } from './errors.ts';
import { findMovingTenant } from './move-records.ts';
import type { MoveInput } from './move-target.ts';
import type { TenantSurvey } from './survey-tenant.ts';

/** Counts a tenant's data when its databases can be reached. */
export type SurveyOf = (tenantId: string) => Promise<TenantSurvey>;

/** The size of a tenant. */
export interface Usage {
  /** The larger of active users and, as last sampled, active employees. */
  readonly people: number;
  /** null: never measured. */
  readonly storageBytes: number | null;
}

/** Rules that `force` overrides. */
export const LIMITS: readonly Forbidden['rule'][] = ['users', 'storage'];

const GB = 1024 ** 3;

/**
 * A move must not take a tenant below its compliance requirements. A tenant whose place satisfies less already may move
 * sideways and up, but not down.
 */
export function complianceForbids(
  requirements: readonly string[],
  from: IsolationModel,
  to: IsolationModel,
): Forbidden[] {
  return weaker(from, to) === from ? [] : unsatisfied(requirements, to);
}

type Limits = Pick<TenantRecord, 'tier' | 'maxUsers' | 'maxStorageGb'>;

/** The limits under another tier: that tier's, except those that an operator has set for this tenant. */
export function limitsUnder({ tier, maxUsers, maxStorageGb }: Limits, target: Tier) {
  const [old, next] = [tierTerms[tier], tierTerms[target]];
  return {
    maxUsers: maxUsers === old.maxUsers ? next.maxUsers : maxUsers,
    maxStorageGb: maxStorageGb === old.maxStorageGb ? next.maxStorageGb : maxStorageGb,
  };
}

/** The limits of the tier that the tenant exceeds. */
export function limitsForbid(tenant: Limits, target: Tier, { people, storageBytes }: Usage): Forbidden[] {
  // A move within the tier does not change its limits.
  if (target === tenant.tier) return [];
  const { maxUsers, maxStorageGb } = limitsUnder(tenant, target);
  const forbidden: Forbidden[] = [];
  if (maxUsers !== null && people > maxUsers) {
    const detail = `The tenant has ${people} active users or employees, the ${target} tier takes ${maxUsers}.`;
    forbidden.push({ rule: 'users', detail });
  }
  if (maxStorageGb !== null && storageBytes !== null && storageBytes > maxStorageGb * GB) {
    const size = (storageBytes / GB).toFixed(1);
    const detail = `The tenant has ${size} GB of data, the ${target} tier takes ${maxStorageGb} GB.`;
    forbidden.push({ rule: 'storage', detail });
  }
  return forbidden;
}

/** A count made for this move. */
export interface CountedUsage {
  readonly storageBytes?: number | undefined;
  readonly activeEmployees?: number | undefined;
}

const lastSample = (tenantId: string) =>
  compilingOnly
    .selectFrom('usage_samples as s')
    .where('s.tenant_id', '=', tenantId)
    .orderBy('s.sampled_on', 'desc')
    .limit(1);

/** @param counted counts that replace the last sample. */
export async function usageOf(
  registry: RegistryExecutor,
  tenantId: string,
  counted: CountedUsage = {},
): Promise<Usage> {
  const row = await registrySql(registry)
    .selectNoFrom((eb) => [
      eb
        .selectFrom('tenant_users as u')
        .select((each) => each.fn.countAll<number>().as('users'))
        .where('u.tenant_id', '=', tenantId)
        .where('u.is_active', '=', true)
        .as('users'),
      lastSample(tenantId).select('s.active_employees').as('employees'),
      lastSample(tenantId).select('s.storage_bytes').as('bytes'),
    ])
    .executeTakeFirst();
  return {
    people: Math.max(row?.users ?? 0, counted.activeEmployees ?? row?.employees ?? 0),
    storageBytes: counted.storageBytes ?? row?.bytes ?? null,
  };
}

/**
 * Counts what the target tier's limits are compared with, when metering never did: a tenant that was not metered yet
 * must not count as empty.
 * @returns undefined when the last sample is enough, no limit applies, or the tenant has no place to count in.
 * @throws the errors of the survey.
 */
export async function countIfNotMetered(
  registry: RegistryExecutor,
  { tenant: reference, target, force }: Pick<MoveInput, 'tenant' | 'target' | 'force'>,
  survey: SurveyOf | undefined,
): Promise<CountedUsage | undefined> {
  if (!survey || force || !('tier' in target)) return undefined;
  const tenant = await findMovingTenant(registry, reference);
  if (!tenant?.location || tenant.status !== 'active' || tenant.tier === target.tier) return undefined;
  const { maxUsers, maxStorageGb } = limitsUnder(tenant, target.tier);
  if (maxUsers === null && maxStorageGb === null) return undefined;
  const { storageBytes } = await usageOf(registry, tenant.tenantId);
  if (storageBytes !== null) return undefined;
  const { bytes, activeEmployees } = await survey(tenant.tenantId);
  return { storageBytes: bytes, activeEmployees };
}
