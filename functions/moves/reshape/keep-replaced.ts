/**
 * What a restore replaces in the shared tables, kept in a schema of its own until the end of the grace period, so that the
 * restore can be undone. (Isolated tenants need none: the schema that they leave is kept as it is.)
 *
 * The schema has neither keys nor a role. Only the owner reads it.
 */
import type pg from 'pg';
import { joinedTransaction, lockForDdl, runStatements } from '../../database/ddl/ddl-connection.ts';
import { identifier, literal } from '../../database/ddl/identifier.ts';
import { commentOf, refuseForeignSchema } from '../../database/provisioning/tenant-schema.ts';
import { isolatedTarget } from '../../database/tables/migrate-tenant-tables.ts';
import { createTable } from '../../database/tables/render-tables.ts';
import { claimed } from '../../database/transfer/claim.ts';
import { copyTable } from '../../database/transfer/reshape/copy-rows.ts';
import { movedTablesAt, type Sides } from '../../database/transfer/reshape/sides.ts';
import { tablesVersionOf } from '../../places/place.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import { type HopContext, keptIn, type PhaseOutcome } from '../hop.ts';
import { SNAPSHOT_SECONDS } from './reshape-session.ts';

/**
 * Phase `compare` of a restore's hop out of the shared tables. Behind the commit nobody writes those rows any more, and the
 * next hop erases them. One transaction; does nothing where it was done before.
 * @throws {ClaimLost | AttemptBusy} and PostgreSQL's errors.
 */
export function keepReplaced({ hop }: HopContext): Promise<PhaseOutcome> {
  const { attempt, source, target } = hop;
  const { tenantId, attemptId } = attempt;
  const schemaName = keptIn(hop);
  if (schemaName === undefined || source.isolationModel !== 'shared') return Promise.resolve({ done: true });
  const sides: Sides = {
    tenantId,
    attemptId,
    source: { model: 'shared', schema: source.schemaName },
    target: { model: 'isolated', schema: schemaName },
    tables: movedTablesAt(tablesVersionOf(target)),
  };
  return asOwnerOf(source, async (owner) => {
    const keep = async () => {
      if (!(await makeSchema(owner, sides))) return;
      await owner.query('select tenancy.enter_move($1, null)', [tenantId]);
      for (const table of sides.tables) await copyTable(owner, sides, table, 0, async () => {});
    };
    await claimed(owner, attempt, keep, { seconds: SNAPSHOT_SECONDS, phase: 'after the commit' });
    return { done: true };
  });
}

/** @returns false where the schema is there: schema and rows are committed together. */
async function makeSchema(
  owner: pg.Client,
  { tenantId, tables, target: { schema: schemaName } }: Sides,
): Promise<boolean> {
  return joinedTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, schemaName);
    await refuseForeignSchema(transaction, schemaName, tenantId);
    const { rowCount } = await owner.query('select from pg_catalog.pg_namespace where nspname = $1', [
      schemaName,
    ]);
    if (rowCount !== 0) return false;
    const target = isolatedTarget(schemaName, '');
    await runStatements(transaction, [
      `CREATE SCHEMA ${identifier(schemaName)}`,
      `COMMENT ON SCHEMA ${identifier(schemaName)} IS ${literal(commentOf(tenantId))}`,
      ...tables.flatMap((table) => createTable(target, table, { keys: 'none' })),
    ]);
    return true;
  });
}
