import type { ObjectStore } from '../aws/object-store.ts';
import { BackupInProgress, TenantNotBackupable } from '../backups/errors.ts';
import { type BackupManifest, readManifest } from '../backups/manifest.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { ExportSourceFailed } from './errors.ts';
import { type ExportRecord, runningExport, setPhase } from './export-records.ts';

/**
 * Requests a backup of the tenant. @returns the backup's id.
 * @throws {BackupInProgress | BackupNotStarted | TenantNotBackupable}
 */
export type RequestBackup = (tenantId: string) => Promise<string>;

/**
 * Phase `source`: finds the backup to export, and waits for its end. Call it until it returns `done`. The source is the
 * backup that the request names, or one whose snapshot is not older than the request. If there is none, the phase
 * requests a backup. An export reads a backup and not the database, because a backup can be read part by part over many
 * calls; the database would have to keep a snapshot open all that time.
 * @throws {ExportSourceFailed} the backup failed or has expired.
 * @throws {ExportOvertaken | TenantNotBackupable | BackupNotStarted}
 */
export async function findSource(
  registry: RegistryExecutor,
  exportId: string,
  request: RequestBackup,
): Promise<{ readonly done: boolean }> {
  const record = await runningExport(registry, exportId);
  const backupId = record.backupId ?? (await chooseBackup(registry, record, request));
  if (backupId === undefined) return { done: false };
  const backup = await registrySql(registry)
    .selectFrom('tenant_backups')
    .select(['status', 'reason'])
    .where('backup_id', '=', backupId)
    .where('tenant_id', '=', record.tenantId)
    .executeTakeFirst();
  if (backup?.status === 'running') return { done: false };
  if (backup?.status !== 'succeeded') throw new ExportSourceFailed(backup?.reason ?? 'It has expired.');
  return { done: true };
}

/** @returns undefined while another backup is running that began before the request. */
async function chooseBackup(
  registry: RegistryExecutor,
  { exportId, tenantId, startedAt }: ExportRecord,
  request: RequestBackup,
): Promise<string | undefined> {
  const known = await registrySql(registry)
    .selectFrom('tenant_backups')
    .select('backup_id')
    .where('tenant_id', '=', tenantId)
    .where((eb) =>
      eb.or([
        // A running backup takes its snapshot after `started_at`.
        eb('status', '=', 'running').and(
          'started_at',
          '>=',
          columnValue('tenant_backups.started_at', startedAt),
        ),
        eb('status', '=', 'succeeded').and(
          'snapshot_at',
          '>=',
          columnValue('tenant_backups.snapshot_at', startedAt),
        ),
      ]),
    )
    .orderBy('started_at')
    .executeTakeFirst();
  let backupId = known?.backup_id;
  if (backupId === undefined) {
    try {
      backupId = await request(tenantId);
    } catch (error) {
      if (!(error instanceof BackupInProgress)) throw error;
    }
  }
  await setPhase(registry, exportId, { phase: 'backup', ...(backupId === undefined ? {} : { backupId }) });
  return backupId;
}

/**
 * Reads the manifest of the export's backup.
 * @throws {ExportSourceFailed} the backup has expired.
 * @throws {BackupError} the manifest differs from the one that was written.
 */
export async function sourceManifest(
  registry: RegistryExecutor,
  store: ObjectStore,
  { tenantId, backupId }: ExportRecord,
): Promise<BackupManifest> {
  if (backupId === null) throw new TenantNotBackupable('The export has no backup yet.');
  const backup = await registrySql(registry)
    .selectFrom('tenant_backups')
    .select(['prefix', 'manifest_sha256'])
    .where('backup_id', '=', backupId)
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'succeeded')
    .executeTakeFirst();
  if (!backup || backup.manifest_sha256 === null) throw new ExportSourceFailed('It has expired.');
  const { prefix, manifest_sha256: manifestSha256 } = backup;
  return readManifest(store, { tenantId, backupId, prefix, manifestSha256 });
}
