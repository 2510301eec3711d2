import type pg from 'pg';

/**
 * Whether a transaction is still open here that may have seen the tenant's placement as it was before its last change,
 * and so may still read where the tenant was. Told by snapshots rather than by clocks: one that was taken while an
 * older transaction than the change was running does not show the change. The owner sees all sessions (pg_monitor).
 */
export async function hasOlderReaders(owner: pg.ClientBase, tenantId: string): Promise<boolean> {
  const { rows } = await owner.query<{ older: boolean }>(
    `select exists (
       select from pg_catalog.pg_stat_activity a, tenancy.placement p
       where p.tenant_id = $1 and a.datname = pg_catalog.current_database()
         and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
         and pg_catalog.age(a.backend_xmin) >= pg_catalog.age(p.xmin)
     ) as older`,
    [tenantId],
  );
  return rows[0]?.older ?? false;
}
