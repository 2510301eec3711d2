import { identifier } from '../ddl/identifier.ts';
import type { TenantTable } from '../tables/tenant-table.ts';

/**
 * SQL of a row's content as a 64-bit hash, the same under all isolation models; sums of it compare sets of rows whatever
 * their order. NULLs count, and so do all types of ours (`json`, which has no such hash, is not among them).
 * @param alias of the row in the query.
 */
export function rowHash({ columns }: TenantTable, alias: string): string {
  const values = Object.keys(columns).map((name) => `${alias}.${identifier(name)}`);
  return `pg_catalog.hash_record_extended(ROW(${values.join(', ')}), 0)`;
}

/** Count and summed hash of a query's rows, as `rows` (bigint) and `hash` (numeric as text). */
export function contentOf(table: TenantTable, alias: string): string {
  return `count(*) AS rows, coalesce(sum(${rowHash(table, alias)}), 0)::text AS hash`;
}
