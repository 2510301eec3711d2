import type pg from 'pg';

export interface KeylessTable {
  readonly name: string;
  /** `copying` while its first copy writes rows, `copied` from that one's commit on. */
  readonly state: 'copying' | 'copied';
}

/**
 * Tables of an arriving schema that lack their primary key and whose first copy is at work or has ended. It asks for no
 * table, so it waits for nobody.
 * @param subscription by which the rows arrive, in tables of the same names.
 */
export async function keylessTables(
  target: pg.ClientBase,
  subscription: string,
  schemaName: string,
): Promise<KeylessTable[]> {
  const { rows } = await target.query<KeylessTable>(
    // A copy holds its table from its first row to its commit.
    `select c.relname as name, case when r.srsubstate in ('i', 'd') then 'copying' else 'copied' end as state
     from pg_catalog.pg_subscription s
       join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()
       join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
       join pg_catalog.pg_class a on a.oid = r.srrelid
       join pg_catalog.pg_class c on c.relname = a.relname
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $2
     where s.subname = $1
       and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary)
       and (r.srsubstate not in ('i', 'd') or exists (
         select from pg_catalog.pg_locks l
         where l.database = d.oid and l.relation = c.oid and l.mode = 'RowExclusiveLock' and l.granted))`,
    [subscription, schemaName],
  );
  return rows;
}
