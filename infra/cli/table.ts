import type { Screen } from './screen.ts';
import { shownJson, shownText } from './shown-text.ts';

/** Cells of one row; numbers are aligned to the right. */
export type Row = readonly (string | number | null | undefined)[];

/** Aligned columns under their titles, two spaces apart. Empty cells show a dash. */
export function table(titles: readonly string[], rows: readonly Row[]): string[] {
  const cells = rows.map((row) => titles.map((_title, column) => textOf(row[column])));
  const right = titles.map((_title, column) => rows.some((row) => typeof row[column] === 'number'));
  return columns([titles.map((title) => title.toUpperCase()), ...cells], right);
}

/** Lines of aligned columns, two spaces apart. @param right which columns are aligned to the right. */
export function columns(rows: readonly (readonly string[])[], right: readonly boolean[] = []): string[] {
  const widths = (rows[0] ?? []).map((_cell, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (right[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** Aligned `name  value` lines of whatever an answer holds; nested objects are named with dots. */
export function fields(value: object): string[] {
  const pairs = flat(value, '');
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, text]) => `${name.padEnd(width)}  ${text}`);
}

function flat(value: object, prefix: string): [string, string][] {
  return Object.entries(value).flatMap(([key, item]): [string, string][] => {
    const name = `${prefix}${key}`;
    const nested = typeof item === 'object' && item !== null && !Array.isArray(item);
    if (nested && Object.keys(item).length > 0) return flat(item as object, `${name}.`);
    return [[shownText(name), shownText(valueText(item))]];
  });
}

function valueText(item: unknown): string {
  if (Array.isArray(item) && item.length > 0 && item.every((one) => typeof one !== 'object'))
    return item.join(', ');
  if (item === null || item === undefined || (typeof item === 'object' && Object.keys(item).length === 0))
    return '-';
  return typeof item === 'object' ? JSON.stringify(item) : String(item);
}

function textOf(cell: Row[number]): string {
  if (typeof cell === 'number') return cell.toLocaleString('en-US', { maximumFractionDigits: 1 });
  return cell === null || cell === undefined || cell === '' ? '-' : shownText(cell);
}

/** The flag of every command that lists something. */
export const LISTING_FLAGS = ['json'] as const;

/**
 * Shows a list as a table, or with `--json` as the API answers it: for another program, complete and unrounded.
 * @param rowOf the table's cells of an item
 */
export function showList<Item>(
  screen: Screen,
  flags: ReadonlySet<string>,
  items: readonly Item[],
  { titles, rowOf }: { titles: readonly string[]; rowOf: (item: Item) => Row },
): void {
  const lines = flags.has('json') ? [shownJson(items)] : table(titles, items.map(rowOf));
  for (const line of lines) screen.line(line);
}

/** `2026-05-01 10:00`; empty for what has not happened yet. */
export function minute(time: string | null | undefined): string | null {
  return time ? time.slice(0, 16).replace('T', ' ') : null;
}
