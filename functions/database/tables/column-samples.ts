/**
 * What the shared tables of a database still have of a tenant's rows after they were deleted: PostgreSQL keeps samples of
 * columns (frequent values, bounds of histograms) in the planner's statistics, and the skills summary has figures of every
 * tenant. Both stay until they are computed anew.
 */
import type pg from 'pg';
import { qualified } from '../ddl/identifier.ts';
import { SHARED_SCHEMA } from './migrate-tenant-tables.ts';
import { refreshSkillsSummary } from './refresh-skills-summary.ts';

/**
 * Computes the skills summary and the statistics of all shared tables anew. Call it after the rows were deleted, outside of a
 * transaction. It blocks neither readers nor writers.
 * @returns false while another session computes the summary: call it again.
 * @throws the driver's errors.
 */
export async function forgetErasedRows(owner: pg.ClientBase): Promise<boolean> {
  const outcome = await refreshSkillsSummary(owner, SHARED_SCHEMA, { always: true });
  if (outcome === 'busy') return false;
  await analyzeSharedTables(owner);
  return true;
}

/** The part of {@link forgetErasedRows} for rows that were never visible to requests, and so are not in the summary. */
export async function analyzeSharedTables(owner: pg.ClientBase): Promise<void> {
  const { rows } = await owner.query<{ name: string }>(
    `select c.relname as name from pg_catalog.pg_class c
     where c.relnamespace = pg_catalog.to_regnamespace($1) and c.relkind in ('r', 'p') and not c.relispartition
       and pg_catalog.pg_get_userbyid(c.relowner) = current_user order by 1`,
    [SHARED_SCHEMA],
  );
  // It waits for a session that analyzes the table now, perhaps from rows that it saw before they were deleted.
  for (const { name } of rows) await owner.query(`ANALYZE ${qualified(SHARED_SCHEMA, name)}`);
}

/**
 * The shared tables and partitions that keep their samples, because they are empty: ANALYZE finds no row there and leaves the
 * statistics as they are. Call it after {@link forgetErasedRows}.
 * @param erased tables that had rows of the tenant.
 */
export async function tablesWithOldSamples(
  owner: pg.ClientBase,
  erased: readonly string[],
): Promise<string[]> {
  // Row-level security hides the rows, and the statistics, from the owner; ANALYZE has stored that there is no row.
  const { rows } = await owner.query<{ name: string }>(
    `select c.relname as name from pg_catalog.pg_class c
      left join pg_catalog.pg_inherits i on i.inhrelid = c.oid
      left join pg_catalog.pg_class parent on parent.oid = i.inhparent
     where c.relnamespace = pg_catalog.to_regnamespace($1) and c.relkind in ('r', 'p') and c.reltuples = 0
       and (c.relname = any ($2)
            or parent.relname = any ($2) and pg_catalog.pg_stat_get_tuples_inserted(c.oid) > 0) order by 1`,
    [SHARED_SCHEMA, erased],
  );
  return rows.map(({ name }) => name);
}
