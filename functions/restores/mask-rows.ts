import type pg from 'pg';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import type { ColumnSpec } from '../database/tables/column.ts';
import type { TenantTable } from '../database/tables/tenant-table.ts';
import { tenantTablesAt } from '../database/tables/tenant-tables.ts';

/**
 * Blanks what names a person, and what is encrypted, in a schema that serves nobody yet. Other contents stay: documents
 * (`jsonb`) and long texts may still tell who somebody is.
 * @throws PostgreSQL's errors.
 */
export async function maskRows(
  owner: pg.ClientBase,
  schemaName: string,
  schemaVersion: number,
): Promise<void> {
  for (const table of tenantTablesAt(schemaVersion)) {
    const assignments = maskedColumns(table);
    if (assignments.length === 0) continue;
    await owner.query(`UPDATE ${qualified(schemaName, table.name)} SET ${assignments.join(', ')}`);
  }
}

function maskedColumns({ columns, primaryKey }: TenantTable): string[] {
  return Object.entries(columns).flatMap(([name, { spec }]) => {
    const value = maskedValue(spec, primaryKey);
    return value === undefined ? [] : [`${identifier(name)} = ${value}`];
  });
}

/** SQL of what a column holds in a masked row; undefined where it stays as it is. */
function maskedValue(
  { type, nullable, personal }: ColumnSpec,
  primaryKey: readonly string[],
): string | undefined {
  if (personal === 'name') return "'Masked'";
  // Unique as the addresses were, and none that mail could be sent to.
  if (personal === 'email') {
    return `'masked-' || ${primaryKey.map((name) => `${identifier(name)}::text`).join(` || '-' || `)} || '@masked.invalid'`;
  }
  if (type === 'bytea') return nullable ? 'NULL' : `''::bytea`;
  return undefined;
}
