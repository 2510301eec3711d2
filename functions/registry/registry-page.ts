import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import {
  cursorAfter,
  mergeRows,
  type PageRequest,
  type Position,
  pageOfRows,
  readCursor,
} from '../resources/keyset-page.ts';
import { askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { columnValue } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** Limit of a page of an operator's list, in bytes: an answer of the Data API takes 1 MiB, a row of it 64 KB. */
export const MAX_REGISTRY_PAGE_BYTES = 512 * 1024;

/** What a statement of `boundedSelect` reads of each row besides its columns. */
interface Measured {
  /** Size of the row as JSON. */
  readonly row_bytes: number;
  /** Number of rows that the statement found, including the returned ones. */
  readonly rows_found: number;
}

/**
 * Rows of one registry for a page, limited to the size of a page. The first two are always included, so that a page has
 * a row and the next one too.
 * @param select an ordered statement without a limit: `limit + 1` rows show whether there is a next page.
 * @param order the same order, by the names of the statement's results.
 */
export async function readBoundedRows<Row extends object>(
  registry: RegistryExecutor,
  // biome-ignore lint/suspicious/noExplicitAny: of any table.
  { select, order }: { select: SelectQueryBuilder<any, any, Row>; order: RawBuilder<unknown> },
  { limit }: PageRequest,
): Promise<(Row & Measured)[]> {
  const statement = sql<Row & Measured>`select * from (
       select measured.*, count(*) over () as rows_found, row_number() over rows_in_order as place,
              sum(row_bytes) over rows_in_order - row_bytes as bytes_before
       from (select found.*, octet_length(cast(row_to_json(found) as text)) as row_bytes
             from ${select.limit(limit + 1)} as found) as measured
       window rows_in_order as (order by ${order})
     ) as page
     where place <= 2 or bytes_before < ${MAX_REGISTRY_PAGE_BYTES} order by place`;
  const { rows } = await statement.execute(registrySql(registry));
  return rows;
}

/** Makes a page of the rows that `readBoundedRows` returned, from one registry or merged from several. */
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
  return pageOfRows(rows, bounds, (row) => cursorAfter(positionOf(row)), toEntry);
}

/** True when the registry has found more rows than it returned. */
export function isCut(rows: readonly Measured[]): boolean {
  return rows.length < (rows[0]?.rows_found ?? 0);
}

/** Names the two columns by which a list of what was started is ordered. */
interface StartOrder<Id extends string> {
  /** Of the table in the query. */
  readonly alias: string;
  readonly table:
    | 'credential_rotations'
    | 'field_rotations'
    | 'schema_rollouts'
    | 'tenant_backups'
    | 'tenant_exports'
    | 'tenant_moves';
  /** Column of the id. */
  readonly id: Id;
}

/** A list of what was started, oldest first, from one page's cursor on. */
export interface StartedList<Row> {
  read(registry: RegistryExecutor): Promise<(Row & Measured)[]>;
  positionOf(row: Row): Position;
}

/**
 * Orders a query, which selects `started_at` and the id, by them, and begins it behind the page's cursor.
 * @throws {InvalidCursor}
 */
export function startedList<Id extends string, Row extends { started_at: string } & Record<Id, string>>(
  // biome-ignore lint/suspicious/noExplicitAny: of any table.
  query: SelectQueryBuilder<any, any, Row>,
  { alias, table, id }: StartOrder<Id>,
  page: PageRequest,
): StartedList<Row> {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const [startedAt, ownId] = [`${alias}.started_at`, `${alias}.${id}`];
  const ordered = query.orderBy(startedAt).orderBy(ownId);
  const select = position
    ? ordered.where((eb) =>
        eb(
          eb.refTuple(startedAt, ownId),
          '>',
          eb.tuple(columnValue(`${table}.started_at`, position.time), position.id),
        ),
      )
    : ordered;
  const order = sql`started_at, ${sql.ref(id)}`;
  return {
    read: (registry) => readBoundedRows(registry, { select, order }, page),
    positionOf: (row) => ({ time: row.started_at, id: row[id] }),
  };
}

/** One page of the list over the registries of all regions. @throws {RegionUnavailable} */
export async function pageOfRegions<Row extends object, Entry>(
  registries: Regions,
  { read, positionOf }: StartedList<Row>,
  page: PageRequest,
  toEntry: (row: Row) => Entry,
) {
  const lists = await askRegions(registries, registries.keys, read);
  return pageOfBoundedRows(mergeRows(lists, positionOf), page, positionOf, toEntry, lists.some(isCut));
}
