/**
 * Deletes expired backups and garbage. Objects are deleted before their row, so that no object loses its row first.
 *
 * 1. Backups past `expires_at`: the backup is marked as expired (a restore refuses it from then on), then its objects
 *    are deleted, then its row.
 * 2. Objects of backups that failed or were aborted: they have no manifest.
 * 3. Backups in the bucket that have no row in the registry: one without a manifest is deleted once no execution can be
 *    writing it any more; one with a manifest is deleted once the retention of its tier is over. Until then it is kept,
 *    because a registry that was restored from an older state has fewer rows than the bucket has backups.
 *
 * On AWS the bucket's lifecycle rules do the same by age. The local S3 stores lifecycle rules without enforcing them.
 */
import type { ObjectStore } from '../aws/object-store.ts';
import { BACKUP_POLICY, BACKUP_ROOT } from '../contracts/backup-policy.ts';
import { isUuid, type Tier } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue, now as registryNow } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { discardBackup } from './discard-backup.ts';
import { manifestKey } from './manifest.ts';

export interface ExpireOptions {
  /** Key of the region; `store` is this region's bucket. */
  readonly region: string;
  readonly now: Date;
  /** On `performance.now()`'s clock: no deletion is begun after it. */
  readonly deadline: number;
  /** The cursor that the previous call returned. */
  readonly cursor?: string | undefined;
}

export interface Expired {
  readonly done: boolean;
  /** The next call lists the bucket from after this key. */
  readonly cursor?: string;
  /** Backups whose rows this call deleted. */
  readonly backups: number;
  readonly objects: number;
}

/** Longer than an execution of `tenant-backup`: a younger backup without a manifest may still be written. */
const WRITING_HOURS = 48;
const HOUR = 3_600_000;
const BATCH = 100;

/** @throws the errors of the registry and of S3; can be called again. */
export async function expireBackups(
  registry: RegistryExecutor,
  store: ObjectStore,
  options: ExpireOptions,
): Promise<Expired> {
  const done = { backups: 0, objects: 0 };
  const inTime = () => performance.now() < options.deadline;
  if (options.cursor === undefined) {
    await markExpired(registry, options);
    while (inTime()) {
      const batch = await expiredOf(registry, options);
      for (const { backup_id: backupId, prefix } of batch) {
        if (!inTime()) break;
        done.objects += await discardBackup(store, prefix);
        await deleteRow(registry, backupId);
        done.backups += 1;
      }
      if (batch.length < BATCH) break;
    }
    while (inTime()) {
      const batch = await undiscardedOf(registry, options);
      for (const { backup_id: backupId, prefix } of batch) {
        if (!inTime()) break;
        done.objects += await discardBackup(store, prefix);
        await setDiscarded(registry, backupId);
      }
      if (batch.length < BATCH) break;
    }
    if (!inTime()) return { done: false, ...done };
  }
  const walked = await deleteWithoutRow(registry, store, options);
  return { ...walked, backups: done.backups, objects: done.objects + walked.objects };
}

async function markExpired(registry: RegistryExecutor, { region, now }: ExpireOptions): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_backups')
    .set({ status: 'expired', updated_at: registryNow })
    .where('region', '=', region)
    .where('expires_at', '<=', columnValue('tenant_backups.expires_at', now.toISOString()))
    .where('status', 'in', ['succeeded', 'failed', 'aborted'])
    .execute();
}

function expiredOf(registry: RegistryExecutor, { region }: ExpireOptions) {
  return registrySql(registry)
    .selectFrom('tenant_backups')
    .select(['backup_id', 'prefix'])
    .where('region', '=', region)
    .where('status', '=', 'expired')
    .orderBy('expires_at')
    .limit(BATCH)
    .execute();
}

/** Only backups that ended an hour ago: a worker that has not noticed the end may still write an object. */
function undiscardedOf(registry: RegistryExecutor, { region, now }: ExpireOptions) {
  const before = new Date(now.getTime() - HOUR).toISOString();
  return registrySql(registry)
    .selectFrom('tenant_backups')
    .select(['backup_id', 'prefix'])
    .where('region', '=', region)
    .where('status', 'in', ['failed', 'aborted'])
    .where('phase', '<>', 'discarded')
    .where('finished_at', '<', columnValue('tenant_backups.finished_at', before))
    .orderBy('finished_at')
    .limit(BATCH)
    .execute();
}

async function setDiscarded(registry: RegistryExecutor, backupId: string): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_backups')
    .set({ phase: 'discarded', updated_at: registryNow })
    .where('backup_id', '=', backupId)
    .execute();
}

async function deleteRow(registry: RegistryExecutor, backupId: string): Promise<void> {
  await registrySql(registry)
    .deleteFrom('tenant_backups')
    .where('backup_id', '=', backupId)
    .where('status', '=', 'expired')
    .execute();
}

/** The objects of one backup in the bucket. */
interface ListedBackup {
  readonly prefix: string;
  readonly backupId: string;
  readonly tier: string;
  keys: number;
  newest: number;
  hasManifest: boolean;
  lastKey: string;
}

async function deleteWithoutRow(
  registry: RegistryExecutor,
  store: ObjectStore,
  { now, deadline, cursor }: ExpireOptions,
): Promise<{ done: boolean; cursor?: string; objects: number }> {
  let objects = 0;
  let position = cursor;
  let suspects: ListedBackup[] = [];
  const deleteSuspects = async () => {
    const known = await knownBackups(
      registry,
      suspects.map(({ backupId }) => backupId),
    );
    for (const { prefix, backupId } of suspects) {
      if (!known.has(backupId)) objects += await discardBackup(store, prefix);
    }
    suspects = [];
  };
  let current: ListedBackup | undefined;
  const endCurrent = async () => {
    if (!current) return;
    position = current.lastKey;
    if (isGarbageWithoutRow(current, now)) suspects.push(current);
    if (suspects.length >= BATCH) await deleteSuspects();
    current = undefined;
  };
  for await (const { key, lastModified } of store.list(BACKUP_ROOT, cursor)) {
    const named = readKey(key);
    if (!named) continue;
    if (current?.prefix !== named.prefix) {
      const hasProgress = current !== undefined;
      await endCurrent();
      // Each call processes at least one backup.
      if (hasProgress && performance.now() >= deadline) {
        await deleteSuspects();
        return { done: false, objects, ...(position === undefined ? {} : { cursor: position }) };
      }
      current = { ...named, keys: 0, newest: 0, hasManifest: false, lastKey: key };
    }
    current.keys += 1;
    current.newest = Math.max(current.newest, lastModified.getTime());
    current.hasManifest ||= key === manifestKey(named.prefix);
    current.lastKey = key;
  }
  await endCurrent();
  await deleteSuspects();
  return { done: true, objects };
}

/** Whether the backup is to be deleted if the registry has no row of it. */
function isGarbageWithoutRow({ tier, newest, hasManifest }: ListedBackup, now: Date): boolean {
  const ageHours = (now.getTime() - newest) / HOUR;
  if (!hasManifest) return ageHours > WRITING_HOURS;
  const policy = Object.hasOwn(BACKUP_POLICY, tier) ? BACKUP_POLICY[tier as Tier] : undefined;
  return policy !== undefined && ageHours > (policy.retentionDays + 1) * 24;
}

/** The ids of those backups that are running or have succeeded in the registry. */
async function knownBackups(registry: RegistryExecutor, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await registrySql(registry)
    .selectFrom('tenant_backups')
    .select('backup_id')
    .where('backup_id', 'in', ids)
    .where('status', 'in', ['running', 'succeeded'])
    .execute();
  return new Set(rows.map(({ backup_id: backupId }) => backupId));
}

const OBJECT_KEY = /^(tenant-backups\/([a-z]+)\/([0-9a-f-]{36})\/([0-9a-f-]{36})\/)[^/]+$/;

/** Parses `tenant-backups/{tier}/{tenantId}/{backupId}/…`. @returns undefined for any other key; its object is kept. */
function readKey(key: string): Pick<ListedBackup, 'prefix' | 'backupId' | 'tier'> | undefined {
  const [, prefix = '', tier = '', tenantId = '', backupId = ''] = OBJECT_KEY.exec(key) ?? [];
  return isUuid(tenantId) && isUuid(backupId) ? { prefix, backupId, tier } : undefined;
}
