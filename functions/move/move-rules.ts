import type { RegistryExecutor } from '../database/registry/data-api.ts';
import type { IsolationModel, TenantRecord, Tier } from '../database/registry/tenant-record.ts';
import { unsatisfied, weaker } from '../placement/compliance.ts';
import { tierTerms } from '../placement/tier-terms.ts';
import type { Forbidden } from './errors.ts';

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

/** @param surveyed bytes that were counted just now; they count instead of the last sample's. */
export async function usageOf(
  registry: RegistryExecutor,
  tenantId: string,
  surveyed?: number,
): Promise<Usage> {
  const [row] = await registry.query<{ users: number; employees: number | null; bytes: number | null }>(
    `SELECT (SELECT count(*)::int FROM tenant_users WHERE tenant_id = :tenantId::uuid AND is_active) AS users,
            s.active_employees AS employees, s.storage_bytes::float8 AS bytes
     FROM (SELECT) AS one
     LEFT JOIN (SELECT active_employees, storage_bytes FROM usage_samples WHERE tenant_id = :tenantId::uuid
                ORDER BY sampled_on DESC LIMIT 1) s ON true`,
    { tenantId },
  );
  return {
    people: Math.max(row?.users ?? 0, row?.employees ?? 0),
    storageBytes: surveyed ?? row?.bytes ?? null,
  };
}
