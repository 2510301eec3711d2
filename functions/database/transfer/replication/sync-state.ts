import type pg from 'pg';

export interface SyncState {
  /** Tables whose first copy has ended, and of all. */
  readonly copied: number;
  readonly ready: number;
  readonly tables: number;
  readonly rows: number;
  readonly bytes: number;
  /** How often a worker failed since the subscription was made. */
  readonly failures: number;
}

/**
 * How far a subscription is. Rows of a table that is being copied are told by its COPY, those of a finished one by the
 * statistics, which follow a moment later; bytes are those that the tables take on disk.
 */
export async function syncState(
  target: pg.ClientBase,
  name: string,
  schemaName: string,
): Promise<SyncState | undefined> {
  const { rows } = await target.query<Record<keyof SyncState, string>>(
    `select count(*) as tables, count(*) filter (where r.srsubstate in ('s', 'r')) as copied,
            count(*) filter (where r.srsubstate = 'r') as ready,
            coalesce(sum(greatest(p.tuples_processed, pg_catalog.pg_stat_get_live_tuples(c.oid))), 0) as rows,
            coalesce(sum(greatest(p.bytes_processed, pg_catalog.pg_table_size(c.oid))), 0) as bytes,
            (select coalesce(max(e.sync_error_count + e.apply_error_count), 0)
             from pg_catalog.pg_stat_subscription_stats e where e.subname = $1) as failures
     from pg_catalog.pg_subscription s
       join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()
       join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
       join pg_catalog.pg_class c on c.oid = r.srrelid
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $2
       left join pg_catalog.pg_stat_progress_copy p on p.relid = c.oid and p.datname = pg_catalog.current_database()
     where s.subname = $1`,
    [name, schemaName],
  );
  const [row] = rows;
  if (!row || Number(row.tables) === 0) return undefined;
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Number(value)])) as never;
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
     where n.nspname = $1 and c.relkind = 'r' and c.relname not like 'schema\\_migrations%'`,
    [schemaName],
  );
  return { rows: Number(rows[0]?.rows ?? 0), bytes: Number(rows[0]?.bytes ?? 0) };
}
