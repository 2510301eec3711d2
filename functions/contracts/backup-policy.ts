/**
 * What is kept of each tier's data, and for how long (the strategy's "Backup Strategy by Tier"). The one table behind
 * the daily schedule, the bucket's lifecycle rules, the retention of clusters, `GET …/backups` and docs/backups.md.
 */
import type { Tier } from './tenant.ts';

export interface BackupPolicy {
  /** How often a tenant's rows are written to the backup bucket. Every tier's are, Enterprise's too. */
  readonly every: 'day';
  /** Beside that, the cluster keeps every change: Aurora's continuous backup. */
  readonly continuous: boolean;
  /** Days that an object backup is kept for, and that the tier's clusters can go back. */
  readonly retentionDays: number;
  /** A tenant can be put back to any second of the cluster's window. */
  readonly pointInTime: boolean;
  /** Whether object backups are copied to a second region's bucket. `optional`: `backups` in infra/config.ts decides. */
  readonly secondRegion: 'always' | 'optional' | 'never';
}

/** From the tier that is kept least to the one that is kept most. */
export const BACKUP_POLICY: Readonly<Record<Tier, BackupPolicy>> = {
  starter: {
    every: 'day',
    continuous: false,
    retentionDays: 7,
    pointInTime: false,
    secondRegion: 'never',
  },
  business: {
    every: 'day',
    continuous: false,
    retentionDays: 14,
    pointInTime: true,
    secondRegion: 'optional',
  },
  enterprise: {
    every: 'day',
    continuous: true,
    retentionDays: 35,
    pointInTime: true,
    secondRegion: 'always',
  },
};

/**
 * In a bucket with versions, deleted objects are recoverable for so many days. They are few, because data of offboarded
 * tenants must go.
 */
export const FORMER_VERSION_DAYS = 7;

export const TIERS = Object.keys(BACKUP_POLICY) as readonly Tier[];

/**
 * Days that a cluster keeps its own backups for: the longest of the tiers whose tenants it has. A cell has Starter and
 * Business tenants, a dedicated cluster an Enterprise one.
 */
export function clusterRetentionDays(tiers: readonly Tier[]): number {
  return Math.max(...tiers.map((tier) => BACKUP_POLICY[tier].retentionDays));
}

/** Tiers whose object backups are copied to a second region's bucket, where the region has one. */
export function copiedTiers({ copyBusiness }: { readonly copyBusiness: boolean }): Tier[] {
  return TIERS.filter((tier) => {
    const { secondRegion } = BACKUP_POLICY[tier];
    return secondRegion === 'always' || (secondRegion === 'optional' && copyBusiness);
  });
}

/** A daily backup is due again after so many hours: less than a day, because a schedule is not to the second. */
export const DUE_AFTER_HOURS = 20;

/** A drill counts for so many days: each tenant's latest backup is restored for proof at least monthly. */
export const DRILL_DAYS = 28;

/** All object backups are below it. One folder for each tier, so that one lifecycle rule for each tier is enough. */
export const BACKUP_ROOT = 'tenant-backups/';

/** Where a tier's backups are, with the slash at the end. A backup stays in the folder of the tier it was taken under. */
export const tierPrefix = (tier: Tier): string => `${BACKUP_ROOT}${tier}/`;

/** Where one backup is, with the slash at the end. */
export function backupPrefix(tier: Tier, tenantId: string, backupId: string): string {
  return `${tierPrefix(tier)}${tenantId}/${backupId}/`;
}

/** All exports for customers are below it. */
export const EXPORT_ROOT = 'tenant-exports/';

/** Where one export is, with the slash at the end. */
export function exportPrefix(tenantId: string, exportId: string): string {
  return `${EXPORT_ROOT}${tenantId}/${exportId}/`;
}

export const EXPORT_POLICY = {
  /** Days that an archive is kept for. */
  retentionDays: 7,
  /** How long a link to an archive can be used, in seconds. */
  linkSeconds: 15 * 60,
} as const;
