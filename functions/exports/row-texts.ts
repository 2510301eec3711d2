/**
 * Rows of a binary COPY stream as text in two forms at once: the data of a `COPY … FROM stdin` of tenant.sql, which is
 * this stream's output, and CSV, which is the stream `csv`. Both have the bytes of the rows only, no header and no end.
 *
 * Bounded memory: nothing but the row that a chunk has not completed is kept. Whichever of the two readers is slow slows
 * the source. One that fails, fails both.
 */
import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import type { Columns } from '../database/tables/tenant-table.ts';
import { type TextOf, textOfType } from './value-text.ts';

/** Signature, flags and the length of an extension that is empty: `RowDigest` has checked it. */
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
  /** Of a chunk whose CSV the reader has not taken yet. */
  #continue: (() => void) | undefined;

  /** @param columns in the order of the fields. @throws {TypeError} for a type that cannot be exported. */
  constructor(columns: Columns) {
    super();
    this.#textOf = Object.values(columns).map(({ spec }) => textOfType(spec.type));
    this.csv.on('drain', () => this.#goOn());
    this.csv.on('close', () => {
      if (!this.csv.readableEnded && !this.destroyed)
        this.destroy(this.csv.errored ?? new Error('the reader of the CSV has ended early'));
    });
  }

  /** Of what has passed. */
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
    else this.#continue = () => done(null, sql);
  }

  override _flush(done: TransformCallback): void {
    if (this.#ended) {
      this.csv.end();
      done();
    } else done(new Error('the rows end early'));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Where it has ended well, its reader may still be behind.
    if (error || !this.csv.writableEnded) this.csv.destroy(error ?? new Error('the rows end early'));
    done(error);
  }

  #goOn(): void {
    const goOn = this.#continue;
    this.#continue = undefined;
    goOn?.();
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
    // A copy: a view of a few bytes would keep the whole chunk.
    this.#pending = Buffer.from(bytes.subarray(at));
    return { csv, sql };
  }

  /** undefined where the row is not complete; without values at the end of all rows. */
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
      // An absent element would be joined as an empty one, which is a value.
      values.push(length < 0 ? NULL : textOf(bytes.subarray(at, at + length)));
      if (length > 0) at += length;
    }
    return { end, values };
  }
}

/** First of all, so that no value of an incomplete row is read. */
function endOfRow(bytes: Buffer, from: number, fields: number): number | undefined {
  let at = from + 2;
  for (let field = 0; field < fields; field++) {
    if (at + 4 > bytes.length) return undefined;
    at += 4 + Math.max(0, bytes.readInt32BE(at));
  }
  return at > bytes.length ? undefined : at;
}

/** No value of a type has it as its text: PostgreSQL's text has no NUL. */
const NULL = '\0';

/** RFC 4180. NULL is nothing at all and an empty text is `""`, as PostgreSQL's own CSV has them. */
export function csvField(value: string): string {
  if (value === NULL) return '';
  // `\.` alone in a line ends the data for some versions of PostgreSQL.
  if (value !== '' && value !== '\\.' && !/[",\r\n]/.test(value)) return value;
  return `"${value.replaceAll('"', '""')}"`;
}

const COPY_ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** The text format of COPY. */
export function copyField(value: string): string {
  if (value === NULL) return '\\N';
  return /[\\\n\r\t]/.test(value) ? value.replace(/[\\\n\r\t]/g, (found) => COPY_ESCAPES[found]!) : value;
}
