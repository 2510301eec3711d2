import type { RegistryExecutor, RegistryParameters } from '../registry/data-api.ts';
import { type PageRequest, type Position, pageOfRows } from './keyset-page.ts';

/** A page of an operator's list ends at so many bytes: an answer of the Data API takes 1 MiB, a row of it 64 KB. */
export const MAX_REGISTRY_PAGE_BYTES = 512 * 1024;

/** What a statement of `boundedSelect` reads of each row besides its columns. */
interface Measured {
  /** Of the row as JSON. */
  readonly row_bytes: number;
  /** Rows that the statement found, the returned ones among them. */
  readonly rows_found: number;
}

/**
 * Rows of one registry for a page, no more than fill it. The first two are always among them, so that a page has a row
 * and the next one too.
 * @param select a statement that ends with ORDER BY and `LIMIT :rows::integer`: `limit + 1` rows tell whether there is
 *   a next page.
 * @param order the same order by the names of the statement's results.
 */
export async function readBoundedRows<Row extends object>(
  registry: RegistryExecutor,
  { select, order, parameters }: { select: string; order: string; parameters: RegistryParameters },
  { limit }: PageRequest,
): Promise<(Row & Measured)[]> {
  return registry.query<Row & Measured>(
    `SELECT * FROM (
       SELECT measured.*, count(*) OVER () AS rows_found, row_number() OVER rows_in_order AS place,
              sum(row_bytes) OVER rows_in_order - row_bytes AS bytes_before
       FROM (SELECT found.*, octet_length(row_to_json(found)::text) AS row_bytes
             FROM (${select}) AS found) AS measured
       WINDOW rows_in_order AS (ORDER BY ${order})
     ) AS page
     WHERE place <= 2 OR bytes_before < :maxBytes::integer ORDER BY place`,
    { ...parameters, rows: limit + 1, maxBytes: MAX_REGISTRY_PAGE_BYTES },
  );
}

/** Makes a page of the rows that `readBoundedRows` answered, of one registry or, merged, of several. */
export function pageOfBoundedRows<Row extends object, Entry>(
  rows: readonly (Row & Measured)[],
  { limit }: PageRequest,
  positionOf: (row: Row) => Position,
  toEntry: (row: Row) => Entry,
  cut = isCut(rows),
) {
  const bounds = {
    limit,
    maxBytes: MAX_REGISTRY_PAGE_BYTES,
    sizeOf: (row: Row & Measured) => row.row_bytes,
    cut,
  };
  return pageOfRows(rows, bounds, positionOf, toEntry);
}

/** True where the registry has found more rows than it returned. */
export function isCut(rows: readonly Measured[]): boolean {
  return rows.length < (rows[0]?.rows_found ?? 0);
}
