/**
 * The month partitions of a cell's shared tables: months ahead are added, rows in the default partition are moved to
 * their month, and months beyond the retention are dropped. Every step may be repeated, and be killed at any statement.
 */
import type pg from 'pg';
import { qualified } from '../database/ddl/identifier.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { SHARED_SCHEMA } from '../database/tables/migrate-tenant-tables.ts';
import {
  CHECK_VIOLATION,
  defaultPartitionName,
  MONTHS_READY,
  type Month,
  type MonthPartitionedTable,
  monthOf,
  monthPartitionedTables,
  partitionName,
} from '../database/tables/month-partitions.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { ADD_MONTH_SECONDS, addMonth, dropMonth } from './month-changes.ts';
import { RETENTION_MONTHS, retentionCutoff, SHARED_TABLES_TIER } from './retention.ts';
import { LOCK_PATIENCE, type LockPatience, lockTables } from './table-locks.ts';

export interface KeepPartitionsOptions {
  readonly now: Date;
  readonly patience?: LockPatience;
  /** On `performance.now()`'s clock; a month that is begun before it may take four minutes more. */
  readonly deadline: number;
  /** Called for each partition that could not be added or dropped, and each default partition that was not emptied. */
  readonly onFailure: (failure: { table: string; error: unknown }) => void;
}

export interface PartitionFigures {
  /** Names of partitions. */
  readonly added: readonly string[];
  readonly dropped: readonly string[];
  /** Rows that were moved out of default partitions. */
  readonly rowsDrained: number;
  /** Partitions that are left for the next run, because a tenant of theirs is being moved. */
  readonly postponed: readonly string[];
}

export async function keepPartitions(
  owner: pg.ClientBase,
  { now, patience = LOCK_PATIENCE, deadline, onFailure }: KeepPartitionsOptions,
): Promise<PartitionFigures> {
  const added: string[] = [];
  const dropped: string[] = [];
  const postponed: string[] = [];
  let rowsDrained = 0;

  for (const table of monthPartitionedTables) {
    const months = RETENTION_MONTHS[table.name]?.[SHARED_TABLES_TIER];
    // A partition is dropped once its youngest row is beyond the retention.
    const oldest = months === undefined ? undefined : monthOf(retentionCutoff(now, months));
    const attempt = async (name: string, work: () => Promise<void>) => {
      try {
        if (performance.now() > deadline) throw new Error('no time was left for it');
        await work();
      } catch (error) {
        onFailure({ table: name, error });
      }
    };
    const add = async (month: Month, drain: boolean) => {
      const moved = await addMonth(owner, SHARED_SCHEMA, table, month, { patience, drain, now });
      if (moved === undefined) return;
      added.push(partitionName(table, month));
      rowsDrained += moved;
    };

    // First, so that the months to come do not depend on what follows.
    for (const month of monthsReady(now)) {
      await attempt(partitionName(table, month), async () => {
        await add(month, false).catch((error: unknown) => {
          // The default partition has rows of the month: they are moved below.
          if (sqlStateOf(error) !== CHECK_VIOLATION) throw error;
        });
      });
    }
    await attempt(defaultPartitionName(table), async () => {
      await restoreForce(owner, table, patience);
      if (await isEmpty(owner, table)) return;
      await overDefaultPartition(owner, table, patience, async () => {
        for (const { month, moving } of await monthsInDefault(owner, table, oldest)) {
          if (moving) postponed.push(partitionName(table, month));
          else await attempt(partitionName(table, month), () => add(month, true));
        }
      });
      // An empty file tells the next run that there is nothing to do, and attaching has nothing to read.
      await owner.query(`VACUUM (SKIP_LOCKED) ${defaultPartition(table)}`);
    });
    if (oldest === undefined) continue;
    for (const month of await monthsBefore(owner, table, oldest)) {
      const name = partitionName(table, month);
      await attempt(name, async () => {
        if (await dropMonth(owner, SHARED_SCHEMA, table, month, patience)) dropped.push(name);
        else postponed.push(name);
      });
    }
  }
  return { added, dropped, rowsDrained, postponed };
}

const monthsReady = (now: Date): Month[] =>
  Array.from({ length: MONTHS_READY }, (_, offset) => monthOf(now, offset));

const defaultPartition = (table: MonthPartitionedTable) =>
  qualified(SHARED_SCHEMA, defaultPartitionName(table));

/** By the size of its file, because policies hide the rows. Deleted rows count until they are vacuumed. */
async function isEmpty(owner: pg.ClientBase, table: MonthPartitionedTable): Promise<boolean> {
  const { rows } = await owner.query<{ empty: boolean }>(
    'select pg_catalog.pg_relation_size(pg_catalog.to_regclass($1)) = 0 as empty',
    [defaultPartition(table)],
  );
  return rows[0]?.empty ?? true;
}

/**
 * Lets the owner see and move all tenants' rows of the default partition while `work` runs. FORCE is about the owner
 * only, and only where it names the partition: requests and movers go through the parent, whose policies stay in force.
 * It is taken away in a transaction of its own, because that needs an exclusive lock, which `work` must not hold.
 * A process that is killed meanwhile leaves it so until the next run, which begins by restoring it.
 */
async function overDefaultPartition(
  owner: pg.ClientBase,
  table: MonthPartitionedTable,
  patience: LockPatience,
  work: () => Promise<void>,
): Promise<void> {
  await alter(owner, defaultPartition(table), 'NO FORCE ROW LEVEL SECURITY', patience);
  try {
    await work();
  } finally {
    await alter(owner, defaultPartition(table), 'FORCE ROW LEVEL SECURITY', patience);
  }
}

async function restoreForce(
  owner: pg.ClientBase,
  table: MonthPartitionedTable,
  patience: LockPatience,
): Promise<void> {
  const { rowCount } = await owner.query(
    'select from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1) and not relforcerowsecurity',
    [defaultPartition(table)],
  );
  if (rowCount) await alter(owner, defaultPartition(table), 'FORCE ROW LEVEL SECURITY', patience);
}

async function alter(
  owner: pg.ClientBase,
  table: string,
  change: 'FORCE ROW LEVEL SECURITY' | 'NO FORCE ROW LEVEL SECURITY',
  patience: LockPatience,
): Promise<void> {
  await inTransaction(owner, 'read committed', ADD_MONTH_SECONDS, async () => {
    await lockTables(owner, [table], patience);
    await owner.query(`ALTER TABLE ${table} ${change}`);
  });
}

/**
 * The months of which the default partition has rows, oldest first, and whether a move is bringing some of them: its
 * rounds rewrite rows in one snapshot, which would conflict with moving them. Rows of months before `oldest` are left:
 * they are deleted with the tenant's other old rows.
 */
async function monthsInDefault(
  owner: pg.ClientBase,
  table: MonthPartitionedTable,
  oldest: Month | undefined,
): Promise<{ month: Month; moving: boolean }[]> {
  const column = `r.${table.column}`;
  const { rows } = await owner.query<{ month: string; moving: boolean }>(
    `select pg_catalog.to_char(${column} at time zone 'UTC', 'YYYY-MM') as month,
            pg_catalog.bool_or(p.tenant_id is not null) as moving
     from only ${defaultPartition(table)} r
     left join tenancy.placement p
       on p.tenant_id = r.tenant_id and p.mover is not null and p.isolation_model <> 'shared'
     where $1::timestamptz is null or ${column} >= $1::timestamptz
     group by 1 order by 1`,
    [oldest ? `${oldest.first} 00:00+00` : null],
  );
  return rows.map(({ month, moving }) => ({ month: monthOf(new Date(`${month}-01T00:00:00Z`)), moving }));
}

/** Months that have a partition and end before `oldest` begins. */
async function monthsBefore(
  owner: pg.ClientBase,
  table: MonthPartitionedTable,
  oldest: Month,
): Promise<Month[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select c.relname as name from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
     where i.inhparent = pg_catalog.to_regclass($1) order by 1`,
    [qualified(SHARED_SCHEMA, table.name)],
  );
  return rows.flatMap(({ name }) => {
    const [, year, month] = /_(\d{4})_(\d{2})$/.exec(name) ?? [];
    if (!year || !month) return [];
    const found = monthOf(new Date(`${year}-${month}-01T00:00:00Z`));
    return partitionName(table, found) === name && found.name < oldest.name ? [found] : [];
  });
}
