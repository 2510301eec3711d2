import type pg from 'pg';
import { sqlStateOf } from '../session/sql-state.ts';

/**
 * Ends the sessions of other tenants' roles that hold a lock of this tenant, or wait for one. Call it outside a
 * transaction. Does nothing in a database whose `tenancy` does not have that function yet.
 */
export async function endForeignSessions(owner: pg.ClientBase, tenantId: string): Promise<void> {
  try {
    await owner.query('select tenancy.end_foreign_sessions($1)', [tenantId]);
  } catch (error) {
    if (sqlStateOf(error) !== '42883') throw error;
  }
}
