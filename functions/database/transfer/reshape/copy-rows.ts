import type pg from 'pg';
import { identifier, qualified } from '../../ddl/identifier.ts';
import type { TenantTable } from '../../tables/tenant-table.ts';
import { insertFromSource, ofTenant, rowsOf, type Sides } from './sides.ts';

export interface TableSize {
  readonly name: string;
  readonly rows: number;
  /** Of the rows as they are stored, without indexes. */
  readonly bytes: number;
}

/** What one statement carries over at most, roughly: about half a second's work, after which the copy may rest. */
const ROWS_AT_ONCE = 20_000;

/** How much there is to copy, in the transaction's snapshot. */
export async function sizesAtSource(
  owner: pg.ClientBase,
  { source, tenantId, tables }: Pick<Sides, 'source' | 'tenantId' | 'tables'>,
): Promise<TableSize[]> {
  const sizes: TableSize[] = [];
  for (const table of tables) {
    const { rows } = await owner.query<{ rows: string | number; bytes: string | number }>(
      `SELECT count(*) AS rows, coalesce(sum(pg_catalog.pg_column_size(s.*)), 0)::bigint AS bytes
       FROM ${rowsOf(source, table, 's')} WHERE ${ofTenant(source, 's', tenantId)}`,
    );
    sizes.push({ name: table.name, rows: Number(rows[0]?.rows), bytes: Number(rows[0]?.bytes) });
  }
  return sizes;
}

/** Removes what an earlier run of the copy has committed at the target. Nothing else is there before the commit. */
export async function emptyTarget(owner: pg.ClientBase, { target, tenantId, tables }: Sides): Promise<void> {
  // The clone of a restore carries no table over.
  if (tables.length === 0) return;
  if (target.model === 'isolated') {
    const names = tables.map(({ name }) => qualified(target.schema, name));
    await owner.query(`TRUNCATE ${names.join(', ')}`);
    return;
  }
  for (const table of tables.toReversed())
    await owner.query(`DELETE FROM ${rowsOf(target, table, 't')} WHERE ${ofTenant(target, 't', tenantId)}`);
}

/**
 * Copies one table, in the transaction's snapshot. Tables come in foreign-key order: that one snapshot satisfies the
 * keys of the target, where there are any already, at the end of each statement.
 * @param onRows gets the number of rows after each statement; the next statement waits for it.
 */
export async function copyTable(
  owner: pg.ClientBase,
  sides: Sides,
  table: TenantTable,
  expectedRows: number,
  onRows: (rows: number) => Promise<void>,
): Promise<void> {
  const insert = `${insertFromSource(sides, table)} WHERE ${ofTenant(sides.source, 's', sides.tenantId)}`;
  for (const range of keyRanges(table, expectedRows)) {
    const { rowCount } = await owner.query(`${insert} AND ${range}`);
    await onRows(rowCount ?? 0);
  }
}

/** Conditions on the first key column that divide the rows: random ids spread evenly, and uneven ones cost only progress. */
function keyRanges(table: TenantTable, rows: number): string[] {
  const [first = ''] = table.primaryKey;
  // Rows that refer to each other within the table must be inserted by one statement.
  const refersToItself = table.foreignKeys.some(({ references }) => references === table.name);
  const ranges = Math.ceil(rows / ROWS_AT_ONCE);
  if (ranges < 2 || refersToItself || table.columns[first]?.spec.type !== 'uuid') return ['true'];
  const key = `s.${identifier(first)}`;
  const bound = (index: number) =>
    `'${Math.floor((index * 2 ** 32) / ranges)
      .toString(16)
      .padStart(8, '0')}-0000-0000-0000-000000000000'::uuid`;
  return Array.from({ length: ranges }, (_, index) =>
    [
      ...(index === 0 ? [] : [`${key} >= ${bound(index)}`]),
      ...(index === ranges - 1 ? [] : [`${key} < ${bound(index + 1)}`]),
    ].join(' AND '),
  );
}
