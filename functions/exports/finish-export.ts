import type { Readable, TransformCallback } from 'node:stream';
import { MeasuredStream, ObjectMissing, type ObjectStore } from '../aws/object-store.ts';
import type { BackupManifest } from '../backups/manifest.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { StoredText } from '../registry/registry-tables.ts';
import { type ArchiveFile, archive, type StoredPiece } from './archive.ts';
import {
  accountDocument,
  csvHeader,
  exportedTables,
  readmeText,
  rowSchema,
  SQL_TABLE_END,
  sqlBeginning,
  sqlEnd,
  sqlTableBeginning,
} from './archive-documents.ts';
import { ExportOvertaken, ExportPartDamaged } from './errors.ts';
import {
  type ExportPart,
  findExport,
  finishRecord,
  runningExport,
  setPhase,
  writtenParts,
} from './export-records.ts';
import { sourceManifest } from './export-source.ts';
import { type ExportContext, sourceParts } from './write-parts.ts';

export const archiveKey = (prefix: string) => `${prefix}tenant.tar.gz`;

/**
 * Phase `finish`: packs the archive, ends the record as succeeded, and deletes the parts. Idempotent: a repeated run
 * packs the same archive, and changes nothing once the export has succeeded.
 * @throws {ExportOvertaken} the export was ended in another way.
 * @throws {ExportPartDamaged} and the errors of S3 and of the registry.
 */
export async function finishExport(
  context: ExportContext & { readonly registry: Pick<DataApi, 'transaction' | 'query'> },
  actor: { readonly id: string; readonly type: 'workflow' },
): Promise<void> {
  const { registry, store, exportId } = context;
  if ((await findExport(registry, exportId))?.status === 'succeeded') return;
  const record = await runningExport(registry, exportId);
  const manifest = await sourceManifest(registry, store, record);
  const parts = await writtenParts(registry, exportId);
  await setPhase(registry, exportId, { phase: 'pack' });
  const stored = new Map(parts.flatMap(({ csv, sql }) => [csv, sql]).map((text) => [text.key, text]));
  const key = archiveKey(record.prefix);
  const { bytes, sha256 } = await store.upload(
    key,
    archive({
      files: archiveFiles(manifest, parts),
      modifiedAt: new Date(manifest.snapshotAt),
      open: (piece) => openText(store, stored.get(piece.key)!),
    }),
  );
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const result = { bucket: store.bucket, objectKey: key, rows, bytes, sha256 };
  const finished = await registry.transaction((transaction) =>
    finishRecord(transaction, record, result, actor),
  );
  if (!finished) {
    if ((await findExport(registry, exportId))?.status === 'succeeded') return;
    await store.delete([key]);
    throw new ExportOvertaken();
  }
  const others: string[] = [];
  for await (const object of store.list(record.prefix)) if (object.key !== key) others.push(object.key);
  await store.delete(others);
}

/** The files of the archive, in their order. @throws {TypeError} a part is not written yet. */
export function archiveFiles(manifest: BackupManifest, written: readonly ExportPart[]): ArchiveFile[] {
  const byNumber = new Map(written.map((part) => [part.part, part]));
  const parts = sourceParts(manifest).map(({ number, table }) => {
    const own = byNumber.get(number);
    if (!own) throw new TypeError('the export is not written yet');
    return { table: table.name, own };
  });
  const rowsOf = (name: string, form: 'csv' | 'sql'): StoredPiece[] =>
    parts.filter(({ table }) => table === name).map(({ own }) => own[form]);
  const tables = exportedTables(manifest);
  const folder = `${manifest.tenant.slug}-${manifest.snapshotAt.slice(0, 10)}`;
  return [
    { path: `${folder}/README.txt`, content: [readmeText(manifest)] },
    {
      path: `${folder}/tenant.sql`,
      content: [
        sqlBeginning(manifest),
        ...tables.flatMap((table) => [sqlTableBeginning(table), ...rowsOf(table.name, 'sql'), SQL_TABLE_END]),
        sqlEnd(manifest),
      ],
    },
    ...tables.map((table) => ({
      path: `${folder}/csv/${table.name}.csv`,
      content: [csvHeader(table), ...rowsOf(table.name, 'csv')],
    })),
    ...tables.map((table) => ({
      path: `${folder}/schemas/${table.name}.schema.json`,
      content: [rowSchema(table)],
    })),
    { path: `${folder}/account.json`, content: [accountDocument(manifest)] },
  ];
}

async function openText(store: ObjectStore, text: StoredText): Promise<Readable> {
  const { body, bytes } = await store.download(text.key).catch((error: unknown) => {
    if (error instanceof ObjectMissing) throw new ExportPartDamaged(text.key, { cause: error });
    throw error;
  });
  if (bytes !== text.storedBytes) {
    body.destroy();
    throw new ExportPartDamaged(text.key);
  }
  const checked = new CheckedText(text);
  body.on('error', (error) => checked.destroy(error));
  checked.on('close', () => body.destroy());
  return body.pipe(checked);
}

/** Passes an object on. It fails at the end if the object differs from the one that was written. */
class CheckedText extends MeasuredStream {
  readonly #text: StoredText;
  constructor(text: StoredText) {
    super();
    this.#text = text;
  }

  override _flush(done: TransformCallback): void {
    const { bytes, sha256 } = this.stored();
    const { key, storedBytes } = this.#text;
    if (bytes === storedBytes && sha256 === this.#text.sha256) done();
    else done(new ExportPartDamaged(key));
  }
}
