import type pg from 'pg';
import { SUMMARY_REFRESH } from '../../tables/skills-summary.ts';

export interface SyncState {
  /** Tables whose first copy has ended, those that follow the source since, and all. */
  readonly copied: number;
  readonly ready: number;
  readonly tables: number;
  /** How often a worker failed since the subscription was made. */
  readonly failures: number;
}

/** A subscription's tables, `r`, under their aliases, `a`, and as they are in the schema `$2`, `c`; `$1` is its name. */
const REPLICATED_TABLES = `pg_catalog.pg_subscription s
       join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()
       join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
       join pg_catalog.pg_class a on a.oid = r.srrelid
       join pg_catalog.pg_class c on c.relname = a.relname
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $2`;

const IS_KEYED = 'exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary)';

/** How far a subscription is; undefined where there is none. It locks no table, so it never waits. */
export async function syncState(target: pg.ClientBase, name: string): Promise<SyncState | undefined> {
  const { rows } = await target.query<SyncState>(
    `select count(*)::integer as tables,
            (count(*) filter (where r.srsubstate in ('s', 'r')))::integer as copied,
            (count(*) filter (where r.srsubstate = 'r'))::integer as ready,
            (select coalesce(max(e.sync_error_count + e.apply_error_count), 0)::integer
             from pg_catalog.pg_stat_subscription_stats e where e.subname = $1) as failures
     from pg_catalog.pg_subscription s
       join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()
       join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
     where s.subname = $1`,
    [name],
  );
  return rows[0]?.tables ? rows[0] : undefined;
}

/**
 * How much has been copied. Rows of a table that is being copied come from the progress of its COPY, those of a finished one
 * from the statistics, which follow a moment later; bytes are the tables' size on disk. The size of a table without primary
 * key is left out: its key may be being built, and reading the size would wait for that.
 * @param schemaName where the tables are; the subscription knows them by their aliases.
 */
export async function copiedSize(
  target: pg.ClientBase,
  name: string,
  schemaName: string,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const { rows } = await target.query<{ rows: string; bytes: string }>(
    `select coalesce(sum(greatest(p.tuples_processed, pg_catalog.pg_stat_get_live_tuples(c.oid))), 0) as rows,
            coalesce(sum(greatest(p.bytes_processed,
              case when ${IS_KEYED} then pg_catalog.pg_table_size(c.oid) end)), 0) as bytes
     from ${REPLICATED_TABLES}
       left join pg_catalog.pg_stat_progress_copy p on p.relid = a.oid and p.datname = pg_catalog.current_database()
     where s.subname = $1`,
    [name, schemaName],
  );
  return { rows: Number(rows[0]?.rows ?? 0), bytes: Number(rows[0]?.bytes ?? 0) };
}

export interface KeylessTable {
  readonly name: string;
  /** `copying` while its first copy writes rows, `copied` from that one's commit on. */
  readonly state: 'copying' | 'copied';
}

/**
 * Tables that lack their primary key and whose first copy runs or has ended. It locks no table, so it never waits.
 * @param schemaName as above.
 */
export async function keylessTables(
  target: pg.ClientBase,
  name: string,
  schemaName: string,
): Promise<KeylessTable[]> {
  const { rows } = await target.query<KeylessTable>(
    // A copy holds its table from its first row to its commit.
    `select c.relname as name, case when r.srsubstate in ('i', 'd') then 'copying' else 'copied' end as state
     from ${REPLICATED_TABLES}
     where s.subname = $1 and not ${IS_KEYED}
       and (r.srsubstate not in ('i', 'd') or exists (
         select from pg_catalog.pg_locks l
         where l.database = d.oid and l.relation = c.oid and l.mode = 'RowExclusiveLock' and l.granted))`,
    [name, schemaName],
  );
  return rows;
}

/** Rows (an estimate) and bytes on disk of a schema's tables. */
export async function schemaSize(
  owner: pg.ClientBase,
  schemaName: string,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const { rows } = await owner.query<{ rows: string; bytes: string }>(
    `select coalesce(sum(greatest(c.reltuples, pg_catalog.pg_stat_get_live_tuples(c.oid), 0)), 0)::bigint as rows,
            coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0) as bytes
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind = 'r' and c.relname not like 'schema\\_migrations%'
       and c.relname <> $2`,
    [schemaName, SUMMARY_REFRESH],
  );
  return { rows: Number(rows[0]?.rows ?? 0), bytes: Number(rows[0]?.bytes ?? 0) };
}
