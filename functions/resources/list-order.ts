/**
 * The order of a list: a column, and the id that breaks ties. Nulls come last in ascending order and first in descending
 * order, as in PostgreSQL's indexes, so that one index serves both directions.
 *
 * A cursor is the position of a page's last row: the values of both columns and the name of the order. A cursor of
 * another order is refused.
 */
import { isUuid } from '../contracts/tenant.ts';
import { InvalidCursor } from './errors.ts';
import { toCamelCase } from './field-names.ts';
import { isStoredTime } from './keyset-page.ts';

export type SortType = 'time' | 'date' | 'text' | 'number';

/** A column that a list can be sorted by. An index has it just before the id. */
export interface SortColumn<Column extends string = string> {
  readonly column: Column;
  readonly type: SortType;
  readonly nullable?: true;
}

export interface ListOrder extends SortColumn {
  /** The column of the id. */
  readonly id: string;
  readonly descending: boolean;
  /** True for the order of a list without `sort`: its cursors have no name. */
  readonly isDefault: boolean;
}

/** Where a page ended. */
export interface OrderedPosition {
  readonly value: string | number | null;
  readonly id: string;
}

/** The values of `?sort=` for these columns: `lastName`, and `-lastName` for descending. */
export function sortNames(columns: readonly SortColumn[]): string[] {
  return columns.flatMap(({ column }) => [toCamelCase(column), `-${toCamelCase(column)}`]);
}

/** @param sort a value of `sortNames`; the first column, ascending, when absent. */
export function orderOf(columns: readonly SortColumn[], id: string, sort: string | undefined): ListOrder {
  const [first] = columns;
  const descending = sort?.startsWith('-') ?? false;
  const name = descending ? sort?.slice(1) : sort;
  const column = name === undefined ? first : columns.find((each) => toCamelCase(each.column) === name);
  if (!column) throw new TypeError(`a list cannot be sorted by ${name}`);
  return { ...column, id, descending, isDefault: column === first && !descending };
}

/** @throws {InvalidCursor} for every text that `cursorIn` did not make for this order. */
export function readCursorIn(order: ListOrder, cursor: string): OrderedPosition {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor('not a cursor');
  }
  const [value, id, name] = Array.isArray(parts) ? parts : [];
  if (!Array.isArray(parts) || parts.length !== (order.isDefault ? 2 : 3) || name !== nameOf(order))
    throw new InvalidCursor('a cursor of another order');
  if (!isUuid(id) || !isValue(order, value)) throw new InvalidCursor('not a position');
  return { value, id };
}

/** The cursor of the page after that row. */
export function cursorIn(order: ListOrder, row: object): string {
  const { [order.column]: value, [order.id]: id } = row as Record<string, unknown>;
  const name = nameOf(order);
  const parts = [value, id, ...(name === undefined ? [] : [name])];
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

function nameOf({ column, descending, isDefault }: ListOrder): string | undefined {
  return isDefault ? undefined : `${descending ? '-' : ''}${toCamelCase(column)}`;
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;

function isValue({ type, nullable }: ListOrder, value: unknown): value is string | number | null {
  if (value === null) return nullable === true;
  if (type === 'number') return typeof value === 'number' && Number.isFinite(value);
  if (typeof value !== 'string') return false;
  if (type === 'time') return isStoredTime(value);
  if (type === 'date') return DAY.test(value) && isStoredTime(`${value}T00:00:00Z`);
  return !value.includes('\0') && value.isWellFormed();
}
