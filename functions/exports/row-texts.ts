/**
 * Converts the rows of a binary COPY stream to text in two formats at once. The output of this stream is the data of a
 * `COPY … FROM stdin` in tenant.sql; the stream `csv` is CSV. Both contain only rows, without a header and an end.
 *
 * Memory is bounded: the stream keeps only the bytes of an incomplete row. The slower of the two readers slows the
 * source. If one reader fails, the other fails too.
 */
import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import type { Columns } from '../database/tables/tenant-table.ts';
import { type TextOf, textOfType } from './value-text.ts';

/** Signature, flags and the length of the extension. `RowDigest` has checked the header; the extension is empty. */
const HEADER_BYTES = 19;
const TRAILER = -1;

export class RowTexts extends Transform {
  readonly csv = new PassThrough();
  readonly #textOf: readonly TextOf[];
  #pending: Buffer = Buffer.alloc(0);
  #headerIsRead = false;
  #ended = false;
  #csvBytes = 0;
  #sqlBytes = 0;
  /** Completes the current chunk; set while the buffer of `csv` is full. */
  #completeChunk: (() => void) | undefined;

  /** @param columns in the order of the fields. @throws {TypeError} for a type that cannot be exported. */
  constructor(columns: Columns) {
    super();
    this.#textOf = Object.values(columns).map(({ spec }) => textOfType(spec.type));
    this.csv.on('drain', () => this.#resume());
    this.csv.on('close', () => {
      if (!this.csv.readableEnded && !this.destroyed)
        this.destroy(this.csv.errored ?? new Error('the reader of the CSV has ended early'));
    });
  }

  /** Bytes of both texts so far. */
  get bytes(): { readonly csv: number; readonly sql: number } {
    return { csv: this.#csvBytes, sql: this.#sqlBytes };
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let texts: { csv: string; sql: string };
    try {
      texts = this.#read(chunk);
    } catch (error) {
      done(error as Error);
      return;
    }
    const csv = Buffer.from(texts.csv);
    const sql = Buffer.from(texts.sql);
    this.#csvBytes += csv.length;
    this.#sqlBytes += sql.length;
    if (csv.length === 0 || this.csv.write(csv)) done(null, sql);
    else this.#completeChunk = () => done(null, sql);
  }

  override _flush(done: TransformCallback): void {
    if (this.#ended) {
      this.csv.end();
      done();
    } else done(new Error('the rows end early'));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // If `csv` was ended without an error, its reader may still be reading the rest.
    if (error || !this.csv.writableEnded) this.csv.destroy(error ?? new Error('the rows end early'));
    done(error);
  }

  #resume(): void {
    const complete = this.#completeChunk;
    this.#completeChunk = undefined;
    complete?.();
  }

  #read(chunk: Buffer): { csv: string; sql: string } {
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    let at = 0;
    if (!this.#headerIsRead) {
      if (bytes.length < HEADER_BYTES) {
        this.#pending = bytes;
        return { csv: '', sql: '' };
      }
      at = HEADER_BYTES;
      this.#headerIsRead = true;
    }
    let csv = '';
    let sql = '';
    for (;;) {
      const row = this.#ended ? undefined : this.#readRow(bytes, at);
      if (!row) break;
      at = row.end;
      if (row.values) {
        csv += `${row.values.map(csvField).join(',')}\r\n`;
        sql += `${row.values.map(copyField).join('\t')}\n`;
      } else this.#ended = true;
    }
    // A copy, because a view of a few bytes would keep the whole chunk in memory.
    this.#pending = Buffer.from(bytes.subarray(at));
    return { csv, sql };
  }

  /** @returns undefined if the row is incomplete; no `values` at the end of all rows. */
  #readRow(bytes: Buffer, from: number): { readonly end: number; readonly values?: string[] } | undefined {
    if (from + 2 > bytes.length) return undefined;
    if (bytes.readInt16BE(from) === TRAILER) return { end: from + 2 };
    const end = endOfRow(bytes, from, this.#textOf.length);
    if (end === undefined) return undefined;
    const values: string[] = [];
    let at = from + 2;
    for (const textOf of this.#textOf) {
      const length = bytes.readInt32BE(at);
      at += 4;
      // NULL needs a text of its own: `join` would make undefined an empty text, which is a value.
      values.push(length < 0 ? NULL : textOf(bytes.subarray(at, at + length)));
      if (length > 0) at += length;
    }
    return { end, values };
  }
}

/** The offset after the row; undefined if the row is incomplete. Checked before any value is read. */
function endOfRow(bytes: Buffer, from: number, fields: number): number | undefined {
  let at = from + 2;
  for (let field = 0; field < fields; field++) {
    if (at + 4 > bytes.length) return undefined;
    at += 4 + Math.max(0, bytes.readInt32BE(at));
  }
  return at > bytes.length ? undefined : at;
}

/** Stands for NULL. It differs from every value, because texts in PostgreSQL cannot contain the character NUL. */
const NULL = '\0';

/** RFC 4180. NULL is an empty field without quotes, and an empty text is `""`, as in PostgreSQL's own CSV. */
export function csvField(value: string): string {
  if (value === NULL) return '';
  // Some versions of PostgreSQL treat a line `\.` as the end of the data.
  if (value !== '' && value !== '\\.' && !/[",\r\n]/.test(value)) return value;
  return `"${value.replaceAll('"', '""')}"`;
}

const COPY_ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** A field in the text format of COPY. */
export function copyField(value: string): string {
  if (value === NULL) return '\\N';
  return /[\\\n\r\t]/.test(value) ? value.replace(/[\\\n\r\t]/g, (found) => COPY_ESCAPES[found]!) : value;
}
