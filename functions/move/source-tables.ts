import type pg from 'pg';
import { joinedTransaction, lockForDdl } from '../database/ddl/ddl-connection.ts';
import { isolatedTarget, migrateTenantTables } from '../database/tables/migrate-tenant-tables.ts';
import { claimed } from '../database/transfer/claim.ts';
import type { Hop } from './hop.ts';

/** A migration may rewrite a large table. */
const SECONDS = 600;

/**
 * Brings the schema that the tenant leaves up to this code's version: a column that the target has and the source has
 * not would never be filled. The shared tables are up to date by a deployment.
 * @throws {ClaimLost | MoverBusy} and the driver's errors.
 */
export async function updateSourceTables(source: pg.Client, { source: place, attempt }: Hop): Promise<void> {
  const { isolationModel, schemaName, roleName } = place;
  if (isolationModel === 'shared') return;
  const migrate = () =>
    joinedTransaction(source, async (transaction) => {
      await lockForDdl(transaction, schemaName);
      await migrateTenantTables(transaction, isolatedTarget(schemaName, roleName));
    });
  await claimed(source, attempt, migrate, { seconds: SECONDS });
}
