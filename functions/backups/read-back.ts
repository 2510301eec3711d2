/**
 * Reads a backup back. Loading checks each object on the way into a schema that serves no requests yet. `verifyObjects`
 * checks all objects without loading them.
 */
import { type Duplex, type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import type pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { MeasuredStream, ObjectMissing, type ObjectStore } from '../aws/object-store.ts';
import type { IsolationModel } from '../contracts/tenant.ts';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import { BackupObjectDamaged, BackupObjectMissing, RestoredRowsDiffer } from './errors.ts';
import type { BackupManifest, ManifestPart, ManifestTable } from './manifest.ts';
import { copyStatement } from './plan-backup.ts';
import { NotCopyData, type RowContent, RowDigest } from './row-digest.ts';

export interface VerifyOptions {
  /** Number of the manifest's objects that are verified already. */
  readonly from?: number;
  /** On `performance.now()`'s clock: no object is begun after it. */
  readonly deadline?: number;
}

/**
 * Reads every object and compares its size and SHA-256 with the manifest.
 * @returns the number of verified objects, and whether these are all. If not, call again with `from` set to that
 *   number.
 * @throws {BackupObjectMissing | BackupObjectDamaged} and S3's errors.
 */
export async function verifyObjects(
  store: ObjectStore,
  { tables }: Pick<BackupManifest, 'tables'>,
  { from = 0, deadline = Number.POSITIVE_INFINITY }: VerifyOptions = {},
): Promise<{ readonly done: boolean; readonly verified: number }> {
  const parts = tables.flatMap((table) => table.parts);
  for (let verified = from; verified < parts.length; verified++) {
    if (performance.now() > deadline) return { done: false, verified };
    await verifyObject(store, parts[verified]!);
  }
  return { done: true, verified: parts.length };
}

async function verifyObject(store: ObjectStore, part: ManifestPart): Promise<void> {
  const body = await openPart(store, part);
  const verified = new VerifiedStream(part);
  await pipeline(body, verified, discarding());
}

/**
 * Opens the object's stream and checks the size that S3 reports.
 * @throws {BackupObjectMissing | BackupObjectDamaged} and S3's errors.
 */
async function openPart(store: ObjectStore, { key, storedBytes }: ManifestPart): Promise<Readable> {
  const { body, bytes } = await store.download(key).catch((error: unknown) => {
    if (error instanceof ObjectMissing) throw new BackupObjectMissing(key, { cause: error });
    throw error;
  });
  // An error before the stream is read reaches its later reader; without a listener, the event would end the process.
  body.on('error', () => {});
  if (bytes === storedBytes) return body;
  body.destroy();
  throw new BackupObjectDamaged(key, `has ${bytes} bytes, not ${storedBytes}`);
}

/** Passes an object on. It fails at the end if size or SHA-256 differ from the manifest. */
class VerifiedStream extends MeasuredStream {
  readonly #part: ManifestPart;
  constructor(part: ManifestPart) {
    super();
    this.#part = part;
  }

  override _flush(done: (error?: Error | null) => void): void {
    const { key, storedBytes, sha256 } = this.#part;
    const stored = this.stored();
    if (stored.bytes !== storedBytes)
      done(new BackupObjectDamaged(key, `ends after ${stored.bytes} of ${storedBytes} bytes`));
    else if (stored.sha256 !== sha256) done(new BackupObjectDamaged(key, 'has other content'));
    else done();
  }
}

/**
 * Loads one part into the table of the same name in a tenant's own schema. The table has the columns of the manifest,
 * which are those of the backup's schema version. (A Starter tenant is restored into a schema first, because PostgreSQL
 * refuses COPY … FROM under the policies.) It is one statement, in the caller's transaction if there is one, so a part
 * is loaded entirely or not at all.
 * @param client connected as the owner of the schema.
 * @throws {BackupObjectMissing | BackupObjectDamaged} the connection can be used afterwards, unless it was lost.
 * @throws S3's and PostgreSQL's errors.
 */
export async function restorePart(
  client: pg.ClientBase,
  { schemaName }: { readonly schemaName: string },
  table: ManifestTable,
  part: ManifestPart,
  store: ObjectStore,
): Promise<void> {
  await loadPart(client, { schemaName }, table, await readPart(store, table, part));
}

/** Does the same with the stream of a part that {@link readPart} has opened. */
export async function loadPart(
  client: pg.ClientBase,
  { schemaName }: { readonly schemaName: string },
  table: ManifestTable,
  rows: PartStream,
): Promise<void> {
  const columns = table.columns.map(identifier).join(', ');
  const load = client.query(
    copyFrom(`COPY ${qualified(schemaName, table.name)} (${columns}) FROM STDIN (FORMAT binary)`),
  );
  try {
    // If a stream fails before its end, PostgreSQL stores no row of it.
    await pipeline([rows.body, ...rows.transforms, load]);
  } catch (error) {
    throw rows.causeOf(error);
  }
}

/** The binary COPY stream of a part: the output of the last transform. */
export interface PartStream {
  readonly body: Readable;
  /** They check the object and its rows: the last one fails before its end if either differs from the manifest. */
  readonly transforms: readonly Duplex[];
  /**
   * Maps an error of the streams.
   * @returns {BackupObjectDamaged} for bytes that cannot be read; any other error as it is.
   */
  causeOf(error: unknown): unknown;
}

/**
 * Opens one part for reading. Open it before the transaction that loads it begins: S3 may answer more slowly than the
 * idle timeout of a transaction allows.
 * @throws {BackupObjectMissing | BackupObjectDamaged} and S3's errors.
 */
export async function readPart(
  store: ObjectStore,
  table: Pick<ManifestTable, 'columns'>,
  part: ManifestPart,
): Promise<PartStream> {
  const { key, rows, contentHash } = part;
  const body = await openPart(store, part);
  const digest = new RowDigest(table.columns.length, (content) => {
    if (content.rows !== rows || content.contentHash !== contentHash)
      throw new BackupObjectDamaged(key, 'holds other rows');
  });
  return {
    body,
    transforms: [new VerifiedStream(part), createZstdDecompress({ chunkSize: 2 ** 17 }), digest],
    causeOf: (error) =>
      isDamage(error) ? new BackupObjectDamaged(key, 'cannot be read', { cause: error }) : error,
  };
}

/** Whether the error is one of the decompressor, or of the COPY reader, about invalid bytes. */
function isDamage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof NotCopyData || (typeof code === 'string' && code.startsWith('ZSTD_error'));
}

/** The place of the restored rows. */
export interface RestoredPlace {
  readonly tenantId: string;
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
}

/**
 * Reads a table and compares its rows with the manifest by count and content hash, which covers every value. Under the
 * shared model, the caller's transaction has entered the tenant.
 * @throws {RestoredRowsDiffer} and PostgreSQL's errors.
 */
export async function compareWithManifest(
  client: pg.ClientBase,
  place: RestoredPlace,
  table: ManifestTable,
): Promise<void> {
  const content = await contentOfTable(client, place, table);
  if (content.rows !== table.rows || content.contentHash !== table.contentHash)
    throw new RestoredRowsDiffer(table.name);
}

/** Count and content hash of a table's rows, of these columns. Comparable with a manifest, and between places. */
export async function contentOfTable(
  client: pg.ClientBase,
  place: RestoredPlace,
  { name, columns }: Pick<ManifestTable, 'name' | 'columns'>,
): Promise<RowContent> {
  const statement = copyStatement(place, place.tenantId, { name, primaryKey: [] }, columns, null);
  const digest = new RowDigest(columns.length);
  await pipeline(client.query(copyTo(statement)), digest, discarding());
  const { rows, contentHash } = digest.content;
  return { rows, contentHash };
}

const discarding = () => new Writable({ write: (_chunk, _encoding, done) => done() });
