import type pg from 'pg';
import { SHARED_SCHEMA } from '../../tables/migrate-tenant-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../../tables/schema-version.ts';
import type { TenantTable } from '../../tables/tenant-table.ts';
import { tenantTablesAt } from '../../tables/tenant-tables.ts';
import { sharedTablesVersion } from '../place-facts.ts';
import { ofTenant, rowsOf, type Side } from './sides.ts';

/** Runs one batch in a transaction, after it has made sure there that the rows may go; undefined where they may not. */
export type GuardedBatch = (batch: () => Promise<number>) => Promise<number | undefined>;

const BATCH = 5_000;
const shared: Side = { model: 'shared', schema: SHARED_SCHEMA };

/**
 * Deletes what the tenant has in the shared tables, in batches, so that no transaction is long. Tables that refer to
 * themselves go in one statement each: a batch could tear a row from one that refers to it.
 * @param deadline on `performance.now()`'s clock.
 * @returns `unfinished` when the deadline came first, or the tables are of a newer release; `refused` when the guard did.
 */
export async function eraseSharedRows(
  owner: pg.ClientBase,
  tenantId: string,
  guarded: GuardedBatch,
  deadline: number,
): Promise<'erased' | 'unfinished' | 'refused'> {
  const version = await sharedTablesVersion(owner);
  // After a rollback of the deployment: there may be tables that this release does not know.
  if (version > TENANT_SCHEMA_VERSION) return 'unfinished';
  const tables: readonly TenantTable[] = tenantTablesAt(version);
  for (const table of tables.toReversed()) {
    const whole = table.foreignKeys.some(({ references }) => references === table.name);
    const statement = `DELETE FROM ${rowsOf(shared, table, 't')} WHERE ${ofTenant(shared, 't', tenantId)}`;
    // Rows of other partitions at the same address are the tenant's as well: the batch is a little larger then.
    const batch = `${statement} AND t.ctid = ANY (ARRAY(
      SELECT r.ctid FROM ${rowsOf(shared, table, 'r')} WHERE ${ofTenant(shared, 'r', tenantId)} LIMIT ${BATCH}))`;
    for (;;) {
      if (performance.now() > deadline) return 'unfinished';
      const erased = await guarded(async () => {
        await owner.query('select tenancy.enter_move($1, null)', [tenantId]);
        const { rowCount } = await owner.query(whole ? statement : batch);
        return rowCount ?? 0;
      });
      if (erased === undefined) return 'refused';
      if (whole || erased === 0) break;
    }
  }
  return 'erased';
}
