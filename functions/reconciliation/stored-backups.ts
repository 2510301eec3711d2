/** The backups in a region's bucket, read without the registry. */
import { logger } from '../aws/logger.ts';
import type { ObjectStore } from '../aws/object-store.ts';
import { BackupError } from '../backups/errors.ts';
import {
  type BackupManifest,
  checkManifest,
  MAX_MANIFEST_BYTES,
  manifestKey,
  sha256Of,
} from '../backups/manifest.ts';
import { BACKUP_POLICY, TIERS, tierPrefix } from '../contracts/backup-policy.ts';
import { isUuid, type Tier } from '../contracts/tenant.ts';

export interface StoredBackup {
  readonly tenantId: string;
  readonly backupId: string;
  /** The tenant's tier at the time of the backup; it decides the retention. */
  readonly tier: Tier;
  readonly prefix: string;
  /** The time when the manifest was written, which made the objects a backup; null if there is no manifest. */
  readonly completedAt: Date | null;
}

/** The lowest ids after `after` of tenants with objects in the bucket; in no order. */
export async function storedTenantsAfter(
  store: ObjectStore,
  after: string | undefined,
  limit: number,
): Promise<string[]> {
  const lists = await Promise.all(
    TIERS.map((tier) => {
      const prefix = tierPrefix(tier);
      // Starts after all objects of the tenant `after`: keys are ASCII here, and `0` is the character after the slash.
      return store.folders(prefix, { after: after === undefined ? undefined : `${prefix}${after}0`, limit });
    }),
  );
  return lists.flat().filter(isUuid);
}

const OWN_KEY = /^([0-9a-f-]{36})\/[^/]+$/;

/** All backups of a tenant in the bucket, complete or not. */
export async function storedBackupsOf(store: ObjectStore, tenantId: string): Promise<StoredBackup[]> {
  const found = new Map<string, StoredBackup>();
  for (const tier of TIERS) {
    const folder = `${tierPrefix(tier)}${tenantId}/`;
    for await (const { key, lastModified } of store.list(folder)) {
      const [, backupId = ''] = OWN_KEY.exec(key.slice(folder.length)) ?? [];
      if (!isUuid(backupId)) continue;
      const prefix = `${folder}${backupId}/`;
      const known = found.get(prefix) ?? { tenantId, backupId, tier, prefix, completedAt: null };
      found.set(prefix, key === manifestKey(prefix) ? { ...known, completedAt: lastModified } : known);
    }
  }
  return [...found.values()];
}

const DAY = 24 * 3_600_000;

/** The time at which a backup with that snapshot expires. */
export function expiryOf({ tier }: Pick<StoredBackup, 'tier'>, snapshotAt: Date): Date {
  return new Date(snapshotAt.getTime() + BACKUP_POLICY[tier].retentionDays * DAY);
}

/** A manifest with its hash, which the registry stores. */
export interface StoredManifest {
  readonly backup: StoredBackup;
  readonly manifest: BackupManifest;
  readonly sha256: string;
}

/**
 * Reads the manifests of backups. Invalid ones are logged and left out.
 * @returns the manifests, latest snapshot first.
 * @throws S3's errors.
 */
export async function readManifests(
  store: ObjectStore,
  backups: readonly StoredBackup[],
): Promise<StoredManifest[]> {
  const read: StoredManifest[] = [];
  for (const backup of backups) {
    try {
      const text = await store.readText(manifestKey(backup.prefix), MAX_MANIFEST_BYTES);
      const { tenantId, backupId, prefix } = backup;
      const manifest = checkManifest(text, { tenantId, backupId, prefix });
      read.push({ backup, manifest, sha256: sha256Of(text) });
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      logger.warn('a manifest cannot be read', { backupId: backup.backupId, error });
    }
  }
  return read.sort((one, other) => (one.manifest.snapshotAt < other.manifest.snapshotAt ? 1 : -1));
}
