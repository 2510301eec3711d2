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

/** Counts a tenant's data where its databases can be reached. */
export type SurveyOf = (tenantId: string) => Promise<TenantSurvey>;

/** How much a tenant is. */
export interface Usage {
  /** The larger of active users and, as last sampled, active employees. */
  readonly people: number;
  /** null: never measured. */
  readonly storageBytes: number | null;
}

/** What may be overridden. */
export const LIMITS: readonly Forbidden['rule'][] = ['users', 'storage'];

const GB = 1024 ** 3;

/**
 * Compliance never lets a tenant fall below what it requires, nor below what it has: one that was weaker off before may
 * move sideways and up.
 */
export function complianceForbids(
  requirements: readonly string[],
  from: IsolationModel,
  to: IsolationModel,
): Forbidden[] {
  return weaker(from, to) === from ? [] : unsatisfied(requirements, to);
}

type Limits = Pick<TenantRecord, 'tier' | 'maxUsers' | 'maxStorageGb'>;

/** The limits under another tier: its own, but for those that an operator had set for this tenant. */
export function limitsUnder({ tier, maxUsers, maxStorageGb }: Limits, target: Tier) {
  const [old, next] = [tierTerms[tier], tierTerms[target]];
  return {
    maxUsers: maxUsers === old.maxUsers ? next.maxUsers : maxUsers,
    maxStorageGb: maxStorageGb === old.maxStorageGb ? next.maxStorageGb : maxStorageGb,
  };
}

/** What of the tenant is too much for the tier. */
export function limitsForbid(tenant: Limits, target: Tier, { people, storageBytes }: Usage): Forbidden[] {
  // A move that keeps the tier changes nothing about its limits.
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

/** What was counted just now. */
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

/** @param counted counts instead of the last sample. */
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
 * Counts what the limits of the target tier will be compared with, where metering never did: a tenant that was not
 * metered yet must not pass for an empty one.
 * @returns undefined where the last sample is enough, no limit applies, or the tenant has no place to look at.
 * @throws what the survey throws.
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
