import type { ObjectStore } from '../aws/object-store.ts';
import { BackupInProgress, TenantNotBackupable } from '../backups/errors.ts';
import { type BackupManifest, readManifest } from '../backups/manifest.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { ExportSourceFailed } from './errors.ts';
import { type ExportRecord, runningExport, setPhase } from './export-records.ts';

/**
 * Asks for a backup of the tenant. @returns its id.
 * @throws {BackupInProgress | BackupNotStarted | TenantNotBackupable}
 */
export type RequestBackup = (tenantId: string) => Promise<string>;

/**
 * Phase `source`, called until it answers `done`: an export is made of a backup, because a backup can be read part by
 * part, for as long as that takes, while a database would have to keep a snapshot open. It is the given backup, or one
 * whose moment is not before the request; such a one is asked for where there is none.
 * @throws {ExportSourceFailed} the backup failed or has expired. {ExportOvertaken | TenantNotBackupable | BackupNotStarted}
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

/** undefined while a backup runs that began before the export was asked for. */
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
        // Its snapshot comes later than its record.
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
 * The manifest of the export's backup.
 * @throws {ExportSourceFailed} the backup has expired. {BackupError} its manifest is not the one that was written.
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
