import { isUuid } from '../contracts/tenant.ts';
import { InvalidCursor } from './errors.ts';
import { type Item, toItem } from './field-names.ts';

export const DEFAULT_LIMIT = 50;
export const MAX_LIMIT = 200;
/**
 * A page ends at this size even if its limit is not reached: Lambda takes answers up to 6 MB, in which the page is a
 * string with an escape before each quote.
 */
export const MAX_PAGE_BYTES = 4 * 1024 * 1024;

export interface PageRequest {
  /** 1 to 200. */
  readonly limit: number;
  readonly cursor: string | undefined;
}

export interface Page {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

/** Where the previous page ended: the values of the two ordering columns. */
export interface Position {
  readonly time: string;
  readonly id: string;
}

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?Z$/;

/** @throws {InvalidCursor} for every text that `cursorAfter` did not make. */
export function readCursor(cursor: string): Position {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor('not a cursor');
  }
  const [time, id] = Array.isArray(parts) && parts.length === 2 ? parts : [];
  if (typeof time !== 'string' || typeof id !== 'string' || !isUuid(id)) {
    throw new InvalidCursor('not a cursor');
  }
  if (!isStoredTime(time)) throw new InvalidCursor('not a time');
  return { time, id };
}

/** True for a time as answers have it. `Date.parse` alone reads the 30th of February as a day of March. */
export function isStoredTime(text: string): boolean {
  if (!TIME.test(text)) return false;
  const time = new Date(text);
  if (Number.isNaN(time.getTime()) || text.startsWith('0000')) return false;
  return time.toISOString().slice(0, 19) === text.slice(0, 19);
}

/** Where a page ends. */
export interface PageBounds<Row, Entry> {
  readonly limit: number;
  readonly maxBytes: number;
  readonly sizeOf: (row: Row, entry: Entry) => number;
  /** True when more rows follow those that were read. */
  readonly cut: boolean;
}

/**
 * Makes a page from up to `limit + 1` rows: as many rows as the limit and the size allow, and at least one. A row that
 * is left over shows that there is a next page.
 * @param cursorOf the cursor of the page after a row.
 */
export function pageOfRows<Row, Entry>(
  rows: readonly Row[],
  { limit, maxBytes, sizeOf, cut }: PageBounds<Row, Entry>,
  cursorOf: (row: Row) => string,
  toEntry: (row: Row) => Entry,
): { items: Entry[]; nextCursor: string | null } {
  const items: Entry[] = [];
  let bytes = 0;
  for (const row of rows.slice(0, limit)) {
    const entry = toEntry(row);
    bytes += sizeOf(row, entry);
    if (bytes > maxBytes && items.length > 0) break;
    items.push(entry);
  }
  const last = cut || items.length < rows.length ? rows[items.length - 1] : undefined;
  return { items, nextCursor: last === undefined ? null : cursorOf(last) };
}

/**
 * Merges lists that are each in the order of their positions. Of two rows with the same id the first is kept: during a
 * move between regions both may have the row.
 */
export function mergeRows<Row>(
  lists: readonly (readonly Row[])[],
  positionOf: (row: Row) => Position,
): Row[] {
  const merged = new Map<string, Row>();
  for (const row of lists.flat().sort((a, b) => comparePositions(positionOf(a), positionOf(b)))) {
    const { id } = positionOf(row);
    if (!merged.has(id)) merged.set(id, row);
  }
  return [...merged.values()];
}

/** Times of one format and ids in lower case sort as text in the same order in which PostgreSQL sorts their values. */
export function comparePositions(a: Position, b: Position): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

/**
 * A page from a resource's rows, as `selectPage` returned them.
 * @param cursorOf the cursor of the page after a row.
 */
export function toPage(
  rows: readonly ListedRow[],
  limit: number,
  cursorOf: (row: ListedRow) => string,
): Page {
  const cut = rows.length < (rows[0]?.[ROWS_FOUND] ?? 0);
  return pageOfRows(rows, { limit, maxBytes: MAX_PAGE_BYTES, sizeOf: sizeInAnswer, cut }, cursorOf, toListed);
}

/** What `selectPage` reads besides the columns when the table has documents. */
export const ROWS_FOUND = 'rows_found';
/** The names of the row's documents that are too large for a list. */
export const LEFT_OUT = 'left_out';
export interface ListedRow {
  readonly [ROWS_FOUND]?: number;
  readonly [LEFT_OUT]?: readonly string[];
}

function toListed(row: ListedRow): Item {
  const {
    [ROWS_FOUND]: _,
    [LEFT_OUT]: leftOut = [],
    ...columns
  } = row as ListedRow & Record<string, unknown>;
  for (const column of leftOut) delete columns[column];
  return toItem(columns);
}

/** Bytes of the item inside the string that the answer's body is: `sizeOf` of a page whose entries are answered as they are. */
export function sizeInAnswer(_row: unknown, item: object): number {
  return Buffer.byteLength(JSON.stringify(JSON.stringify(item)));
}

export function cursorAfter({ time, id }: Position): string {
  return Buffer.from(JSON.stringify([time, id])).toString('base64url');
}
