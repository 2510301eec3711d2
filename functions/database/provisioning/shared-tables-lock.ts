/**
 * The lock that keeps two things of one database apart: DDL on its shared tables, and the claim of a reshape to or from
 * them.
 *
 * The claim holds it shared while it writes `tenancy.placement.mover`. The DDL holds it exclusively and then looks for
 * such claims. So either the DDL sees the claim and gives way, or the reshape begins after the DDL has been committed.
 * It lasts until the transaction ends; the caller sets `lock_timeout`.
 */
import type pg from 'pg';
import { endLockHolders } from '../ddl/ddl-connection.ts';

/** The text whose hash is the key of the lock. */
export const SHARED_TABLES_LOCK = 'strata ddl shared tables';
const KEY = `pg_catalog.hashtextextended('${SHARED_TABLES_LOCK}', 0)`;

/**
 * For the transaction that claims a tenant for a reshape: take it before the claim is written.
 * @throws PostgreSQL's 55P03 where DDL on the shared tables does not end within `lock_timeout`; try again later.
 */
export async function keepSharedTables(owner: pg.ClientBase): Promise<void> {
  await owner.query(`select pg_catalog.pg_advisory_xact_lock_shared(${KEY})`);
}

/**
 * For a transaction that changes the shared tables. Where it must wait, sessions of requests that hold the lock are
 * ended first: none of ours does.
 * @throws PostgreSQL's 55P03 where a claim or another change does not end within `lock_timeout`; try again later.
 */
export async function lockSharedTables(owner: pg.ClientBase): Promise<void> {
  const { rows } = await owner.query(`select pg_catalog.pg_try_advisory_xact_lock(${KEY}) as locked`);
  if (rows[0]?.locked) return;
  await endLockHolders(owner, SHARED_TABLES_LOCK);
  await owner.query(`select pg_catalog.pg_advisory_xact_lock(${KEY})`);
}
