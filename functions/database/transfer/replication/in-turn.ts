import type pg from 'pg';
import { endLockHolders } from '../../ddl/ddl-connection.ts';

/**
 * One at a time changes the replication objects of that name, until the open transaction ends: PostgreSQL itself
 * answers those who come at once with internal errors.
 */
export async function takeTurn(owner: pg.ClientBase, name: string): Promise<void> {
  const lock = `strata replication ${name}`;
  await endLockHolders(owner, lock);
  await owner.query('select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))', [lock]);
}
