import type pg from 'pg';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import type { ColumnSpec } from '../database/tables/column.ts';
import type { TenantTable } from '../database/tables/tenant-table.ts';
import { tenantTablesAt } from '../database/tables/tenant-tables.ts';

/**
 * Blanks names, e-mail addresses and encrypted values in a schema that serves no requests yet. Other values are kept:
 * documents (`jsonb`) and long texts may still identify a person.
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

/** SQL of a column's masked value; undefined if the column is not masked. */
function maskedValue(
  { type, nullable, personal }: ColumnSpec,
  primaryKey: readonly string[],
): string | undefined {
  if (personal === 'name') return "'Masked'";
  // The primary key makes the address unique; `.invalid` is a domain that receives no mail.
  if (personal === 'email') {
    return `'masked-' || ${primaryKey.map((name) => `${identifier(name)}::text`).join(` || '-' || `)} || '@masked.invalid'`;
  }
  if (type === 'bytea') return nullable ? 'NULL' : `''::bytea`;
  return undefined;
}
