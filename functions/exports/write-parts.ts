/**
 * Phase `write`: converts the parts of the backup to text, one after the other. It stores the rows of a part as two
 * objects, CSV and the data of a COPY, each a gzip stream of its own; archive.ts packs them. The registry records which
 * parts are written, so any later call of the function continues with the missing parts.
 */
import { randomBytes } from 'node:crypto';
import { createGzip } from 'node:zlib';
import type { ObjectStore, StoredObject } from '../aws/object-store.ts';
import { BackupError } from '../backups/errors.ts';
import type { BackupManifest, ManifestPart } from '../backups/manifest.ts';
import { readPart } from '../backups/read-back.ts';
import type { TenantTable } from '../database/tables/tenant-table.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { exportedTables } from './archive-documents.ts';
import { type ExportPart, keepPart, runningExport, setPhase, writtenParts } from './export-records.ts';
import { sourceManifest } from './export-source.ts';
import { RowTexts } from './row-texts.ts';

/** Registry and bucket for the phases of an export. */
export interface ExportContext {
  readonly registry: RegistryExecutor;
  readonly store: ObjectStore;
  readonly exportId: string;
}

/** A part of a backup, with its table. */
export interface SourcePart {
  /** Number of the part in the manifest, over all tables. */
  readonly number: number;
  readonly table: TenantTable;
  readonly part: ManifestPart;
}

/** All parts of a backup, in the order of its manifest. */
export function sourceParts(manifest: BackupManifest): SourcePart[] {
  const tables = exportedTables(manifest);
  const parts = manifest.tables.flatMap(({ parts: own }, index) =>
    own.map((part) => ({ table: tables[index]!, part })),
  );
  return parts.map(({ table, part }, number) => ({ number, table, part }));
}

/**
 * Writes parts until all are written or the deadline has passed.
 * @param deadline on `performance.now()`'s clock: no part is begun after it. Each call writes at least one part.
 * @returns `done` if all are written; otherwise call again.
 * @throws {ExportOvertaken | ExportSourceFailed | BackupError} and the errors of S3 and of the registry.
 */
export async function writeParts(
  { registry, store, exportId }: ExportContext,
  deadline: number,
): Promise<{ readonly done: boolean }> {
  const record = await runningExport(registry, exportId);
  const manifest = await sourceManifest(registry, store, record);
  const parts = sourceParts(manifest);
  const { snapshotAt } = manifest;
  await setPhase(registry, exportId, { phase: 'write', partsTotal: parts.length, snapshotAt });
  const written = new Set((await writtenParts(registry, exportId)).map(({ part }) => part));
  const missing = parts.filter(({ number }) => !written.has(number));
  for (const [index, part] of missing.entries()) {
    if (index > 0 && performance.now() > deadline) return { done: false };
    await keepPart(registry, exportId, await writePart(store, record.prefix, part));
  }
  return { done: true };
}

/** Measured on the texts of a part: this level takes half the time of the default level; its result is 8 % larger. */
const GZIP_LEVEL = 4;

/** Uploads both objects while it reads the part, so memory is bounded. */
async function writePart(
  store: ObjectStore,
  prefix: string,
  { number, table, part }: SourcePart,
): Promise<ExportPart> {
  const source = await readPart(store, { columns: Object.keys(table.columns) }, part);
  const texts = new RowTexts(table.columns);
  // Each try writes new keys, so a late upload of an earlier try cannot replace the objects of a later one.
  const stem = `${prefix}parts/${number}.${randomBytes(4).toString('hex')}`;
  const keys = { csv: `${stem}.csv.gz`, sql: `${stem}.sql.gz` };
  const compress = () => createGzip({ level: GZIP_LEVEL, chunkSize: 2 ** 17 });
  const uploads = await Promise.allSettled([
    store.upload(keys.sql, source.body, ...source.transforms, texts, compress()),
    store.upload(keys.csv, texts.csv, compress()),
  ]);
  const [sql, csv] = uploads;
  if (sql.status === 'rejected' || csv.status === 'rejected')
    throw firstCause(
      uploads.flatMap((upload) => (upload.status === 'rejected' ? upload.reason : [])).map(source.causeOf),
    );
  const { bytes } = texts;
  return {
    part: number,
    rows: part.rows,
    csv: stored(keys.csv, bytes.csv, csv.value),
    sql: stored(keys.sql, bytes.sql, sql.value),
  };
}

const stored = (key: string, bytes: number, object: StoredObject) => ({
  key,
  bytes,
  storedBytes: object.bytes,
  sha256: object.sha256,
});

/**
 * A failing stream makes the other fail too. An error about a damaged object is the cause; the other error only
 * follows.
 */
const firstCause = (causes: readonly unknown[]): unknown =>
  causes.find((cause) => cause instanceof BackupError) ?? causes[0];
