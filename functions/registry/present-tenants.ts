import { type RawBuilder, sql } from 'kysely';

/**
 * Which of the tenants this region has and has not begun to erase: for statements that write what was found out about
 * tenants some time ago. They are locked, so that an erasure either begins after the statement and erases what it wrote,
 * or has begun before it, and then the tenant is not among them.
 * @param ids a query of ids, as SQL.
 */
export const presentTenants = (ids: RawBuilder<unknown>): RawBuilder<{ tenant_id: string }> => sql`
  select t.tenant_id from tenants as t
   where t.tenant_id in (${ids}) and t.status <> 'offboarded'
     and not exists (select from tenant_offboardings as o
                      where o.tenant_id = t.tenant_id and o.erasing_since is not null)
   order by t.tenant_id for share of t`;
