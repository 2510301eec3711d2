/**
 * Reading a backup back. Each object is checked while it is loaded, into a schema that serves no request yet.
 * `verifyObjects` checks all objects without loading them.
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
  /** How many objects of the manifest are verified already. */
  readonly from?: number;
  /** On `performance.now()`'s clock; not later than one object after it. */
  readonly deadline?: number;
}

/**
 * Reads every object and compares its size and SHA-256 with the manifest.
 * @returns how many objects of the manifest are verified, and whether these are all: else call again from there.
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
 * The object's stream, once S3 says that it has the right size.
 * @throws {BackupObjectMissing | BackupObjectDamaged} and S3's errors.
 */
async function openPart(store: ObjectStore, { key, storedBytes }: ManifestPart): Promise<Readable> {
  const { body, bytes } = await store.download(key).catch((error: unknown) => {
    if (error instanceof ObjectMissing) throw new BackupObjectMissing(key, { cause: error });
    throw error;
  });
  // Where it breaks before it is read, its reader gets the error; without a listener the event would end the process.
  body.on('error', () => {});
  if (bytes === storedBytes) return body;
  body.destroy();
  throw new BackupObjectDamaged(key, `has ${bytes} bytes, not ${storedBytes}`);
}

/** Passes an object on, and fails at its end unless it is the one of the manifest. */
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
    else if (stored.sha256 !== sha256) done(new BackupObjectDamaged(key, 'holds something else'));
    else done();
  }
}

/**
 * Loads one part into the table of the same name of a tenant's own schema. It has the manifest's columns: those of the
 * version of the backup. (A Starter tenant is restored into a schema first: COPY … FROM is refused under the policies.)
 * One statement, in the caller's transaction where there is one: a part is loaded as a whole or not at all.
 * @param client as the owner of the schema.
 * @throws {BackupObjectMissing | BackupObjectDamaged} the connection can be used afterwards, unless it was lost. And S3's
 *   and PostgreSQL's errors.
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

/** The same with the part's stream, which {@link readPart} has opened. */
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
    // What fails before the stream's end makes PostgreSQL take nothing of it.
    await pipeline([rows.body, ...rows.transforms, load]);
  } catch (error) {
    throw rows.causeOf(error);
  }
}

/** The binary COPY stream of a part: what comes out behind the last of the transforms. */
export interface PartStream {
  readonly body: Readable;
  /** They check the object and its rows: the last one fails before its end, unless both are those of the manifest. */
  readonly transforms: readonly Duplex[];
  /** What a failure of the streams means. @returns {BackupObjectDamaged} for bytes that cannot be read, else the error. */
  causeOf(error: unknown): unknown;
}

/**
 * Opens one part for reading. Open it before the transaction that loads it: S3 may take longer to answer than a
 * transaction may be idle.
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

/** What the decompressor, or the reader of COPY data, says of bytes that are none of ours. */
function isDamage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof NotCopyData || (typeof code === 'string' && code.startsWith('ZSTD_error'));
}

/** Where the restored rows are by now. */
export interface RestoredPlace {
  readonly tenantId: string;
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
}

/**
 * Compares a table with the manifest, value by value, by reading it out again. Under the shared model the caller's
 * transaction has entered the tenant.
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

/** Count and hash of the table's rows, with these columns: comparable with a manifest's, and between places. */
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
