import { type Expression, type SqlBool, sql } from 'kysely';
import { tenantSql } from '../database/session/tenant-sql.ts';
import { type PageRequest, readCursor } from './keyset-page.ts';
import { type AnyExpressions, anyTable, type Resource, type Values } from './resource.ts';

/** What a listing is narrowed to: exact values by column (the parent's id among them), and a searched text. */
export interface ListFilter {
  readonly equals: Values;
  readonly search?: string | undefined;
}

/** One row more than the limit is asked for: it tells whether there is a next page. */
export function selectPage(resource: Resource, filter: ListFilter, { limit, cursor }: PageRequest) {
  const [time, id] = resource.order;
  let query = anyTable
    .selectFrom(resource.table)
    .select([...resource.columns])
    .where((where) => where.and(conditions(resource, filter, where)))
    .orderBy(time)
    .orderBy(id)
    .limit(limit + 1);
  if (cursor !== undefined) {
    const position = readCursor(cursor);
    query = query.where(
      sql<SqlBool>`(${sql.ref(time)}, ${sql.ref(id)}) > (${position.time}::timestamptz, ${position.id}::uuid)`,
    );
  }
  return query;
}

/** One row where the parent that a listing's path names exists. */
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

export function insertOne(resource: Resource, values: Values) {
  return anyTable
    .insertInto(resource.table)
    .values(storable(resource, values))
    .returning([...resource.columns]);
}

export function updateOne(resource: Resource, key: Values, values: Values) {
  return anyTable
    .updateTable(resource.table)
    .set({ ...storable(resource, values), ...(resource.hasUpdatedAt ? { updated_at: sql`now()` } : {}) })
    .where((where) => where.and(key))
    .returning([...resource.columns]);
}

export function deleteOne(resource: Resource, key: Values) {
  return anyTable
    .deleteFrom(resource.table)
    .where((where) => where.and(key))
    .returning([...resource.columns]);
}

function conditions(resource: Resource, filter: ListFilter, where: AnyExpressions): Expression<SqlBool>[] {
  const all: Expression<SqlBool>[] = Object.entries(filter.equals)
    .filter(([, value]) => value !== undefined)
    .map(([column, value]) => where(column, '=', value));
  if (filter.search !== undefined && resource.searched.length > 0) {
    // The text is meant literally: LIKE's own wildcards in it are escaped.
    const pattern = `%${filter.search.replace(/[\\%_]/g, '\\$&')}%`;
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
 * A row where `id` is found above `above`, following the resource's hierarchy. UNION and not UNION ALL: it ends even
 * where a circle exists already.
 */
export function selectCircle(resource: Resource, id: unknown, above: unknown) {
  const [table, key, parent] = [resource.table, resource.key[0], resource.hierarchy].map((name) =>
    sql.ref(name ?? ''),
  );
  const statement = sql`WITH RECURSIVE line (id) AS (
      SELECT ${above}::uuid
      UNION SELECT ${parent} FROM ${table} JOIN line ON ${key} = line.id
    ) SELECT 1 AS found FROM line WHERE id = ${id}::uuid`;
  return { compile: () => statement.compile(tenantSql) };
}
