/**
 * Month partitions of the shared tables. A partition `<table>_YYYY_MM` takes the rows of one month (UTC); a row of any
 * other month goes to the default partition `<table>_default`.
 *
 * PostgreSQL refuses to attach a month while the default partition has a row of it (23514). Here such a month is left
 * out: rows stay readable and insertable where they are, and the partition upkeep moves them.
 */
import { sql } from 'kysely';
import { type DdlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { identifier, literal, qualified } from '../ddl/identifier.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { tenantIsolation } from './render-tables.ts';
import type { TenantTable } from './tenant-table.ts';
import { tenantTables } from './tenant-tables.ts';

/** How many months have partitions beforehand: the running one and three complete ones after it. */
export const MONTHS_READY = 4;

/** A month in UTC. */
export interface Month {
  /** `YYYY-MM`. */
  readonly name: string;
  /** First day, `YYYY-MM-DD`. */
  readonly first: string;
  /** First day of the next month. */
  readonly next: string;
}

/** The month of `date`, or the one `offset` months after it; before it where `offset` is negative. */
export function monthOf(date: Date, offset = 0): Month {
  const start = (months: number) =>
    new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1)).toISOString().slice(0, 10);
  const first = start(offset);
  return { name: first.slice(0, 7), first, next: start(offset + 1) };
}

/** A shared table that is partitioned by month, and the column that decides. */
export interface MonthPartitionedTable {
  readonly name: string;
  readonly column: string;
}

/** Every table of the definition whose shared variant is partitioned by month. */
export const monthPartitionedTables: readonly MonthPartitionedTable[] = (
  tenantTables as readonly TenantTable[]
).flatMap(({ name, sharedPartitioning }) =>
  sharedPartitioning?.by === 'month' ? [{ name, column: sharedPartitioning.column }] : [],
);

export const partitionName = ({ name }: Pick<MonthPartitionedTable, 'name'>, month: Month): string =>
  `${name}_${month.name.replace('-', '_')}`;

export const defaultPartitionName = ({ name }: Pick<MonthPartitionedTable, 'name'>): string =>
  `${name}_default`;

/** A condition that is true of the rows of the month. */
export function inMonth({ column }: Pick<MonthPartitionedTable, 'column'>, month: Month): string {
  return `${identifier(column)} >= ${startOf(month.first)} AND ${identifier(column)} < ${startOf(month.next)}`;
}

/**
 * A table for one month that is not attached yet. With its keys and indexes, because attaching would otherwise build
 * them, over whatever rows are there by then, while requests wait.
 */
export function createMonthTable(schema: string, table: MonthPartitionedTable, month: Month): string[] {
  return [
    // The check on the month spares attaching to read the rows.
    `CREATE TABLE ${qualified(schema, partitionName(table, month))}
       (LIKE ${qualified(schema, table.name)} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES,
        CONSTRAINT in_month CHECK (${inMonth(table, month)}))`,
  ];
}

/**
 * Attaches a table that `createMonthTable` made. PostgreSQL locks the default partition exclusively and reads all of
 * it. Attached, not created in place: `CREATE … PARTITION OF` would make all writers of the table wait.
 */
export function attachMonthTable(schema: string, table: MonthPartitionedTable, month: Month): string[] {
  const partition = qualified(schema, partitionName(table, month));
  return [
    ...tenantIsolation(partition),
    `ALTER TABLE ${qualified(schema, table.name)} ATTACH PARTITION ${partition}
       FOR VALUES FROM (${startOf(month.first)}) TO (${startOf(month.next)})`,
    `ALTER TABLE ${partition} DROP CONSTRAINT in_month`,
  ];
}

/** Lock of `lockForDdl` under which months of the schema's tables are added and dropped. */
export const partitionsLock = (schema: string): string => `${schema} partitions`;

/** PostgreSQL found rows of the month in the default partition. */
export const CHECK_VIOLATION = '23514';
/** `lock_timeout` ran out. */
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Makes sure that the month-partitioned tables of `schema` have a partition for `from`'s month and for each of the
 * `months - 1` after it (UTC), as far as this needs no waiting: a month of which the default partition has rows, or
 * whose attachment another session's lock prevents for two seconds, is left to the partition upkeep.
 * @returns names of the partitions that are still missing.
 */
export async function ensureMonthPartitions(
  transaction: DdlTransaction,
  schema: string,
  from: Date,
  months: number,
): Promise<string[]> {
  await lockForDdl(transaction, partitionsLock(schema));
  const missing: string[] = [];
  for (const table of monthPartitionedTables) {
    for (let offset = 0; offset < months; offset++) {
      const month = monthOf(from, offset);
      const partition = partitionName(table, month);
      if (await exists(transaction, schema, partition)) continue;
      const added = await inSavepoint(transaction, [
        "SET LOCAL lock_timeout = '2s'",
        ...createMonthTable(schema, table, month),
        ...attachMonthTable(schema, table, month),
        'SET LOCAL lock_timeout TO DEFAULT',
      ]);
      if (!added) missing.push(partition);
    }
  }
  return missing;
}

/** Whether the statements succeeded; nothing of them is left where they had to be given up. */
async function inSavepoint(transaction: DdlTransaction, statements: string[]): Promise<boolean> {
  await runStatements(transaction, ['SAVEPOINT adding_month']);
  try {
    await runStatements(transaction, [...statements, 'RELEASE SAVEPOINT adding_month']);
    return true;
  } catch (error) {
    const state = sqlStateOf(error);
    if (state !== CHECK_VIOLATION && state !== LOCK_NOT_AVAILABLE) throw error;
    await runStatements(transaction, ['ROLLBACK TO SAVEPOINT adding_month']);
    return false;
  }
}

/** Midnight UTC as a literal. */
const startOf = (day: string): string => literal(`${day} 00:00+00`);

async function exists(transaction: DdlTransaction, schema: string, table: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (
      select from pg_catalog.pg_tables where schemaname = ${schema} and tablename = ${table}
    ) as found`.execute(transaction);
  return rows[0]?.found ?? false;
}
