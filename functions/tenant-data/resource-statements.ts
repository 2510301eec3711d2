import { type Expression, type OperationNodeSource, type RawBuilder, type SqlBool, sql } from 'kysely';
import { type Statement, tenantStatement } from '../database/session/tenant-sql.ts';
import {
  LEFT_OUT,
  type ListedRow,
  MAX_PAGE_BYTES,
  type PageRequest,
  ROWS_FOUND,
} from '../resources/keyset-page.ts';
import {
  type ListOrder,
  type OrderedPosition,
  orderOf,
  readCursorIn,
  type SortType,
} from '../resources/list-order.ts';
import { patternOf } from '../resources/literal-search.ts';
import { type AnyExpressions, anyTable, type Resource, sortColumns, type Values } from './resource.ts';

/**
 * The filter of a list: exact values by column (including the parent's id), values that columns are below, and a text to
 * search for. `sort` is one of `sortNames`.
 */
export interface ListFilter {
  readonly equals: Values;
  readonly below?: Values | undefined;
  readonly search?: string | undefined;
  readonly sort?: string | undefined;
}

export function listOrder(resource: Resource, { sort }: Pick<ListFilter, 'sort'>): ListOrder {
  return orderOf(sortColumns(resource), resource.order[1], sort);
}

/**
 * Selects the rows of a page, and one more that shows whether there is a next page. In a table with documents it stops
 * when a page is full, so that not all large documents are read (OFFSET 0: each is measured once). It always selects
 * the first two rows, so that this page and the next have a row. A document that is too large for a list is left out of
 * its row.
 */
export function selectPage(resource: Resource, filter: ListFilter, page: PageRequest): Statement<ListedRow> {
  const order = listOrder(resource, filter);
  const rows = selectRows(resource, filter, page, order);
  if (resource.documents.length === 0) return rows;
  const columns = resource.columns.map((column) =>
    resource.documents.includes(column)
      ? sql`CASE WHEN ${bytesOf(column)} <= ${MAX_PAGE_BYTES} THEN ${sql.id(column)} END AS ${sql.id(column)}`
      : sql.id(column),
  );
  const bytes = resource.documents.map((column) => sql`COALESCE(${bytesOf(column)}, 0)`);
  const leftOut = resource.documents.map(
    (column) => sql`CASE WHEN ${bytesOf(column)} > ${MAX_PAGE_BYTES} THEN ${sql.lit(column)} END`,
  );
  const measured = resource.documents.map(
    (column) => sql`octet_length(${sql.id(column)}::text) AS ${sql.id(`${column}_bytes`)}`,
  );
  const statement = sql<ListedRow>`SELECT ${sql.join(columns)}, rows_found AS ${sql.ref(ROWS_FOUND)},
      array_remove(ARRAY[${sql.join(leftOut)}], NULL) AS ${sql.ref(LEFT_OUT)}
    FROM (
      SELECT measured.*, count(*) OVER () AS rows_found, row_number() OVER rows_in_order AS place,
             sum(${sql.join(bytes, sql` + `)}) OVER rows_in_order AS bytes
      FROM (SELECT found.*, ${sql.join(measured)} FROM (${rows}) AS found OFFSET 0) AS measured
      WINDOW rows_in_order AS (ORDER BY ${orderBy(order)})
    ) AS page
    WHERE place <= 2 OR bytes - (${sql.join(bytes, sql` + `)}) < ${MAX_PAGE_BYTES}::integer ORDER BY place`;
  return tenantStatement(statement);
}

const bytesOf = (column: string) => sql.ref(`${column}_bytes`);

function selectRows(
  resource: Resource,
  filter: ListFilter,
  { limit, cursor }: PageRequest,
  order: ListOrder,
) {
  const direction = order.descending ? 'desc' : 'asc';
  const select = (...after: RawBuilder<SqlBool>[]) =>
    anyTable
      .selectFrom(resource.table)
      .select([...resource.columns])
      .where((where) => where.and([...conditions(resource, filter, where), ...after]))
      .orderBy(order.column, direction)
      .orderBy(order.id, direction)
      .limit(limit + 1);
  if (cursor === undefined) return select();
  const [first, second] = rowsAfter(order, readCursorIn(order, cursor));
  if (!second) return select(first);
  // Two conditions, because one with OR would read the index from its beginning.
  return tenantStatement(
    sql<ListedRow>`${select(first)} UNION ALL ${select(second)} ORDER BY ${orderBy(order)} LIMIT ${limit + 1}`,
  );
}

/** The names of the result's columns, which statements of several parts are sorted by. */
function orderBy({ column, id, descending }: ListOrder) {
  const direction = descending ? sql` DESC` : sql``;
  return sql`${sql.id(column)}${direction}, ${sql.id(id)}${direction}`;
}

const SQL_TYPES: Readonly<Record<SortType, string>> = {
  time: 'timestamptz',
  date: 'date',
  text: 'text',
  number: 'numeric',
};

/** The conditions of the rows after a position: a row satisfies one of them. */
export function rowsAfter(
  { column, id, type, nullable, descending }: ListOrder,
  position: OrderedPosition,
): [RawBuilder<SqlBool>, RawBuilder<SqlBool>?] {
  const [sorted, own] = [sql.ref(column), sql.ref(id)];
  const beyond = descending ? sql`<` : sql`>`;
  if (position.value === null) {
    const nulls = sql<SqlBool>`${sorted} IS NULL AND ${own} ${beyond} ${position.id}::uuid`;
    return descending ? [nulls, sql<SqlBool>`${sorted} IS NOT NULL`] : [nulls];
  }
  const value = sql`${position.value}::${sql.raw(SQL_TYPES[type])}`;
  const values = sql<SqlBool>`(${sorted}, ${own}) ${beyond} (${value}, ${position.id}::uuid)`;
  return nullable && !descending ? [values, sql<SqlBool>`${sorted} IS NULL`] : [values];
}

/** One row when the parent in the list's path exists. */
export function selectParent(resource: Resource, equals: Values) {
  const column = resource.key[0] as string;
  return anyTable
    .selectFrom(resource.parentTable as string)
    .select(column)
    .where(column, '=', equals[column]);
}

export function selectOne(resource: Resource, key: Values) {
  return anyTable
    .selectFrom(resource.table)
    .select([...resource.columns])
    .where((where) => where.and(key));
}

/** Inserts nothing when another row already has the value of a caseless column. */
export function insertOne(resource: Resource, values: Values): OperationNodeSource {
  const row = storable(resource, values);
  const taken = takenValues(resource, values);
  if (taken.length === 0) {
    return anyTable
      .insertInto(resource.table)
      .values(row)
      .returning([...resource.columns]);
  }
  const selections = Object.entries(row).map(([column, value]) => sql.val(value).as(column));
  return anyTable
    .insertInto(resource.table)
    .columns(Object.keys(row))
    .expression(anyTable.selectNoFrom(selections).where((where) => where.and(taken.map(not))))
    .returning([...resource.columns]);
}

/**
 * Changes nothing when another row already has the value of a caseless column.
 * @param behind a part of the statement that is to be evaluated first and has one row, or none: then nothing changes.
 */
export function updateOne(
  resource: Resource,
  key: Values,
  values: Values,
  behind?: string,
): OperationNodeSource {
  const update = anyTable.updateTable(resource.table);
  return (behind === undefined ? update : update.from(behind))
    .set({ ...storable(resource, values), ...(resource.hasUpdatedAt ? { updated_at: sql`now()` } : {}) })
    .where((where) => where.and([where.and(key), ...takenValues(resource, values, key).map(not)]))
    .returning([...resource.columns]);
}

/** For each caseless column among the values: whether a row other than `except` has the value. */
function takenValues(resource: Resource, values: Values, except?: Values): RawBuilder<SqlBool>[] {
  const id = resource.key.at(-1) as string;
  return (resource.caseless ?? [])
    .filter((column) => values[column] !== undefined)
    .map((column) => {
      const others = except ? sql`AND other.${sql.ref(id)} <> ${except[id]}::uuid` : sql``;
      return sql<SqlBool>`EXISTS (SELECT FROM ${sql.table(resource.table)} AS other
        WHERE lower(other.${sql.ref(column)}) = ${values[column]} ${others})`;
    });
}

const not = (condition: RawBuilder<SqlBool>) => sql<SqlBool>`NOT ${condition}`;

export function deleteOne(resource: Resource, key: Values) {
  return anyTable
    .deleteFrom(resource.table)
    .where((where) => where.and(key))
    .returning([...resource.columns]);
}

function conditions(resource: Resource, filter: ListFilter, where: AnyExpressions): Expression<SqlBool>[] {
  const all: Expression<SqlBool>[] = Object.entries(filter.equals)
    .filter(([, value]) => value !== undefined)
    .map(([column, value]) =>
      resource.caseless?.includes(column)
        ? sql<SqlBool>`lower(${sql.ref(column)}) = ${value}`
        : where(column, '=', value),
    );
  for (const [column, value] of Object.entries(filter.below ?? {})) all.push(where(column, '<', value));
  if (filter.search !== undefined && resource.searched.length > 0) {
    const pattern = patternOf(filter.search);
    all.push(where.or(resource.searched.map((column) => sql<SqlBool>`${sql.ref(column)} ILIKE ${pattern}`)));
  }
  return all;
}

/** The driver would turn a JavaScript array into a PostgreSQL array: jsonb travels as JSON text. */
function storable(resource: Resource, values: Values): Record<string, unknown> {
  const row: Record<string, unknown> = { ...values };
  for (const column of resource.documents) {
    const value = row[column];
    if (value !== undefined && value !== null) row[column] = JSON.stringify(value);
  }
  return row;
}

/**
 * One row when `id` is an ancestor of `above` in the resource's hierarchy. UNION, not UNION ALL, so that the query ends
 * even when the hierarchy already has a circle.
 */
export function selectCircle(resource: Resource, id: unknown, above: unknown) {
  const [table, key, parent] = [resource.table, resource.key[0], resource.hierarchy].map((name) =>
    sql.ref(name ?? ''),
  );
  const statement = sql`WITH RECURSIVE line (id) AS (
      SELECT ${above}::uuid
      UNION SELECT ${parent} FROM ${table} JOIN line ON ${key} = line.id
    ) SELECT 1 AS found FROM line WHERE id = ${id}::uuid`;
  return tenantStatement(statement);
}
