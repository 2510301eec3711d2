import type pg from 'pg';

/**
 * How many transactions of a role, or of the owner, began before the tenant's placement was written last: they may
 * still read what the tenant has left.
 */
export async function olderTransactions(
  owner: pg.ClientBase,
  tenantId: string,
  roleName: string,
): Promise<number> {
  const { rows } = await owner.query<{ transactions: number }>(
    `select count(*)::integer as transactions
     from tenancy.placement p join pg_catalog.pg_stat_activity a
       on a.datname = pg_catalog.current_database() and a.usename in ($2, current_user)
       and a.pid <> pg_catalog.pg_backend_pid()
       and pg_catalog.age(a.backend_xmin) >= pg_catalog.age(p.xmin)
     where p.tenant_id = $1`,
    [tenantId, roleName],
  );
  return rows[0]?.transactions ?? 0;
}
