import type { Tier } from '../contracts/tenant.ts';

/**
 * How many months a row of a table is kept, by the tenant's tier. A table that is not listed keeps its rows. A row's
 * age is the column by which the table's shared variant is partitioned.
 */
export const RETENTION_MONTHS: Readonly<Record<string, Readonly<Record<Tier, number>>>> = {
  audit_log: { starter: 12, business: 24, enterprise: 84 },
};

/** The tier whose retention the shared tables have: their partitions are dropped for all tenants at once. */
export const SHARED_TABLES_TIER: Tier = 'starter';

/**
 * Rows that are older than the result may be deleted. In a month without today's day, it is the last day of the month.
 * @param months of retention.
 */
export function retentionCutoff(now: Date, months: number): Date {
  const first = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, 1);
  const lastDay = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months + 1, 0)).getUTCDate();
  const day = Math.min(now.getUTCDate(), lastDay);
  const timeOfDay = now.getTime() - Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  return new Date(first + (day - 1) * 86_400_000 + timeOfDay);
}

/** Until when a copy of a seal that is made now cannot be deleted: as long as its entries are kept. */
export function sealsLockedUntil(now: Date, tier: Tier): Date {
  return retentionCutoff(now, -(RETENTION_MONTHS.audit_log?.[tier] ?? 0));
}
