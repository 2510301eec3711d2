import type { Screen } from './screen.ts';
import { shownJson } from './shown-text.ts';
import { type Row, table } from './table.ts';

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
