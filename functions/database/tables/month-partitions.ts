import { sql } from 'kysely';
import { type DdlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { literal, qualified } from '../ddl/identifier.ts';
import { tenantIsolation } from './render-isolation.ts';
import type { TenantTable } from './tenant-table.ts';
import { tenantTables } from './tenant-tables.ts';

/**
 * Makes sure that the shared variant of month-partitioned tables has a partition for `from`'s month and for each of
 * the `months - 1` after it (UTC). A row outside of all months goes to the default partition; a partition cannot be
 * added any more for a month of which rows are there already (23514), so stay ahead.
 */
export async function ensureMonthPartitions(
  transaction: DdlTransaction,
  schema: string,
  from: Date,
  months: number,
): Promise<void> {
  await lockForDdl(transaction, `${schema} partitions`);
  const tables: readonly TenantTable[] = tenantTables;
  const partitioned = tables.filter(({ sharedPartitioning }) => sharedPartitioning?.by === 'month');
  for (const { name } of partitioned) {
    for (let offset = 0; offset < months; offset++) {
      const first = monthStart(from, offset);
      const partition = `${name}_${first.slice(0, 7).replace('-', '_')}`;
      if (await exists(transaction, schema, partition)) continue;
      const range = `FROM (${literal(`${first} 00:00+00`)}) TO (${literal(`${monthStart(from, offset + 1)} 00:00+00`)})`;
      const table = qualified(schema, partition);
      // Attached, not created in place: CREATE … PARTITION OF would make all writers of the table wait.
      await runStatements(transaction, [
        `CREATE TABLE ${table} (LIKE ${qualified(schema, name)} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`,
        ...tenantIsolation(table),
        `ALTER TABLE ${qualified(schema, name)} ATTACH PARTITION ${table} FOR VALUES ${range}`,
      ]);
    }
  }
}

function monthStart(from: Date, offset: number): string {
  return new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + offset, 1)).toISOString().slice(0, 10);
}

async function exists(transaction: DdlTransaction, schema: string, table: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (
      select from pg_catalog.pg_tables where schemaname = ${schema} and tablename = ${table}
    ) as found`.execute(transaction);
  return rows[0]?.found ?? false;
}
