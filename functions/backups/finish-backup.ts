import { type BackupContext, runningBackup } from './backup-context.ts';
import type { BackupRecord, CompletedPart } from './backup-ledger.ts';
import { BackupOvertaken } from './errors.ts';
import {
  type BackupManifest,
  checkManifest,
  MANIFEST_VERSION,
  MAX_MANIFEST_BYTES,
  manifestKey,
  sha256Of,
  writeManifest,
} from './manifest.ts';
import { backedUpTables } from './plan-backup.ts';
import { sumOfHashes } from './row-digest.ts';

/**
 * Phase `finish`: writes the manifest, which makes the objects a backup, ends the record as succeeded, and deletes the
 * objects of lost tries. Idempotent.
 * @throws {BackupOvertaken} the backup was ended in another way.
 * @throws {TypeError} parts are missing.
 */
export async function finishBackup(context: BackupContext): Promise<void> {
  const { ledger, store } = context;
  if ((await ledger.read())?.status === 'succeeded') return;
  const record = await runningBackup(ledger);
  const parts = await ledger.completedParts(record.attempt);
  if (!record.plan || !record.snapshotAt || !parts) throw new TypeError('the backup is not written yet');
  const { isolationModel, epoch, cellId, schemaVersion } = record.plan;
  const { tenant, users } = await ledger.readTenant();
  const manifest: BackupManifest = {
    formatVersion: MANIFEST_VERSION,
    backupId: record.backupId,
    createdAt: new Date().toISOString(),
    snapshotAt: record.snapshotAt,
    tenant,
    users: [...users],
    placement: { isolationModel, epoch, region: record.region, cellId },
    schemaVersion,
    tables: tablesOf(schemaVersion, parts),
  };
  const key = manifestKey(record.prefix);
  const text = await writeOnce(context, record, writeManifest(manifest), parts);
  const finished = await ledger.finish(record.attempt, {
    manifestSha256: sha256Of(text),
    rows: total(parts, 'rows'),
    bytes: total(parts, 'storedBytes'),
  });
  if (!finished) {
    // A backup that was ended without success must not have a manifest.
    if ((await ledger.read())?.status !== 'succeeded') await store.delete([key]);
    throw new BackupOvertaken();
  }
  const kept = new Set([key, ...parts.map((part) => part.key)]);
  const strays: string[] = [];
  for await (const object of store.list(record.prefix)) if (!kept.has(object.key)) strays.push(object.key);
  await store.delete(strays);
}

/**
 * Stores the manifest. If an earlier run of the phase has stored a manifest of the same objects, it keeps that one,
 * because the registry may have its hash already.
 * @returns the stored text.
 */
async function writeOnce(
  { store }: BackupContext,
  { tenantId, backupId, prefix }: BackupRecord,
  text: string,
  parts: readonly CompletedPart[],
): Promise<string> {
  const key = manifestKey(prefix);
  if (await store.putTextOnce(key, text, 'application/json')) return text;
  const stored = await store.readText(key, MAX_MANIFEST_BYTES);
  const { tables } = checkManifest(stored, { tenantId, backupId, prefix });
  const keys = new Set(tables.flatMap((table) => table.parts.map((part) => part.key)));
  if (keys.size === parts.length && parts.every((part) => keys.has(part.key))) return stored;
  await store.putText(key, text, 'application/json');
  return text;
}

function tablesOf(schemaVersion: number, parts: readonly CompletedPart[]): BackupManifest['tables'] {
  return backedUpTables(schemaVersion).map(({ name, columns }) => {
    const own = parts.filter(({ table }) => table === name).sort((one, other) => one.index - other.index);
    return {
      name,
      columns: Object.keys(columns),
      rows: total(own, 'rows'),
      rawBytes: total(own, 'rawBytes'),
      contentHash: sumOfHashes(own.map(({ contentHash }) => contentHash)),
      parts: own.map(({ key, rows, rawBytes, storedBytes, sha256, contentHash }) => ({
        key,
        rows,
        rawBytes,
        storedBytes,
        sha256,
        contentHash,
      })),
    };
  });
}

const total = (parts: readonly CompletedPart[], figure: 'rows' | 'rawBytes' | 'storedBytes') =>
  parts.reduce((sum, part) => sum + part[figure], 0);
