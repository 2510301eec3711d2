import type pg from 'pg';
import {
  insertFromSource,
  ofTenant,
  rowsOf,
  type Sides,
} from '../../../functions/database/transfer/reshape/sides.ts';

/**
 * The strategy's own way from Starter to Business: copy, note the new place and delete, one statement for each table, in
 * one transaction, into a schema that is ready with its indexes and keys. As a superuser, whom no policy slows down.
 * Writes have to wait for all of it: what is written meanwhile would be neither copied nor kept.
 * @returns milliseconds
 */
export async function moveInOneTransaction(superuser: pg.ClientBase, sides: Sides): Promise<number> {
  const { tenantId, source } = sides;
  const start = performance.now();
  await superuser.query('BEGIN');
  for (const table of sides.tables)
    await superuser.query(`${insertFromSource(sides, table)} WHERE ${ofTenant(source, 's', tenantId)}`);
  await superuser.query('UPDATE tenancy.placement SET schema_name = schema_name WHERE tenant_id = $1', [
    tenantId,
  ]);
  for (const table of sides.tables.toReversed())
    await superuser.query(
      `DELETE FROM ${rowsOf(source, table, 's')} WHERE ${ofTenant(source, 's', tenantId)}`,
    );
  await superuser.query('COMMIT');
  return performance.now() - start;
}
