import type pg from 'pg';
import { TENANT_LOGIN_GROUP } from './role-names.ts';

/**
 * Ends sessions of requests that hold, or wait for, an advisory lock of the control plane. Requests have no business
 * with it, but EXECUTE on the advisory functions cannot be revoked on RDS, so a leaked credential can take any key.
 * Parameter `$1` is the text whose hash is the key.
 */
export const END_LOCK_HOLDERS = `
  select pg_catalog.pg_terminate_backend(l.pid, 1000)
  from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity a on a.pid = l.pid
  join pg_catalog.pg_auth_members m on m.member = a.usesysid and m.inherit_option
  where m.roleid = pg_catalog.to_regrole('${TENANT_LOGIN_GROUP}') and a.usename <> current_user
    and l.locktype = 'advisory' and l.objsubid = 1 and a.datname = pg_catalog.current_database()
    and ((l.classid::bigint << 32) | l.objid::bigint) = pg_catalog.hashtextextended($1, 0)`;

/** @see END_LOCK_HOLDERS */
export async function endLockHolders(client: pg.ClientBase, lock: string): Promise<void> {
  await client.query(END_LOCK_HOLDERS, [lock]);
}
