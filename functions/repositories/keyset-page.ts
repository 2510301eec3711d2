import { InvalidCursor } from './errors.ts';
import { type Item, toItem } from './field-names.ts';

export const DEFAULT_LIMIT = 50;
export const MAX_LIMIT = 200;

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

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?Z$/;

/** @throws {InvalidCursor} for anything that `cursorAfter` did not make. */
export function readCursor(cursor: string): Position {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor('not a cursor');
  }
  const [time, id] = Array.isArray(parts) && parts.length === 2 ? parts : [];
  if (typeof time !== 'string' || typeof id !== 'string' || !TIME.test(time) || !UUID.test(id)) {
    throw new InvalidCursor('not a cursor');
  }
  if (Number.isNaN(Date.parse(time))) throw new InvalidCursor('not a time');
  return { time, id };
}

/**
 * Makes a page of `limit + 1` rows: the extra row only tells that there is a next page.
 * @param positionOf where a page that ends with the row goes on.
 */
export function pageOfRows<Row, Entry>(
  rows: readonly Row[],
  limit: number,
  positionOf: (row: Row) => Position,
  toEntry: (row: Row) => Entry,
): { items: Entry[]; nextCursor: string | null } {
  const kept = rows.slice(0, limit);
  const last = rows.length > limit ? kept.at(-1) : undefined;
  return { items: kept.map(toEntry), nextCursor: last === undefined ? null : cursorAfter(positionOf(last)) };
}

/**
 * Puts lists that are each in the order of their positions into one; of two rows with one id, which a move between
 * regions may have in both for a moment, the first stays.
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

/** Times of one form and ids in lower case sort as text as PostgreSQL sorts them by value. */
function comparePositions(a: Position, b: Position): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

/** A page of a resource's rows. @param order the columns of the listing's order. */
export function toPage(rows: readonly object[], limit: number, order: readonly [string, string]): Page {
  const positionOf = (row: object): Position => {
    const values = row as Record<string, string>;
    return { time: values[order[0]] as string, id: values[order[1]] as string };
  };
  return pageOfRows(rows, limit, positionOf, toItem);
}

function cursorAfter({ time, id }: Position): string {
  return Buffer.from(JSON.stringify([time, id])).toString('base64url');
}
