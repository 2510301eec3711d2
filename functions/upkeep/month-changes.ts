/**
 * Adds the partition of one month, with the rows of the month that are in the default partition.
 *
 * One transaction, so that each snapshot shows a row in exactly one of the two places:
 *   1. Create the month's table and move the rows into it. Requests do not wait: they still see the rows in the default
 *      partition, and still insert there. This step may take long, so it is repeated until few rows are left.
 *   2. Lock the parent and the default partition. Every transaction that has used them has ended then.
 *   3. Move the rows that were inserted meanwhile, attach the table, commit.
 *
 * Why lock the parent, although attaching locks only the default partition: a session that plans a statement meanwhile
 * reads the list of partitions first and then waits for the default partition. After the commit it continues with the old
 * list. A query whose snapshot is newer than the commit would find the rows in neither place, and an INSERT would fail
 * (23514), because the default partition does not take that month any more. A session that waits for the parent's lock
 * reads the list of partitions afterwards.
 *
 * Moving rows between partitions of one table changes no tenant's data: capture is off in this session, and a move that
 * reads the table finds the same rows before and after.
 */
import type pg from 'pg';
import { joinedTransaction, lockForDdl } from '../database/ddl/ddl-connection.ts';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import {
  attachMonthTable,
  createMonthTable,
  defaultPartitionName,
  inMonth,
  type Month,
  type MonthPartitionedTable,
  partitionName,
  partitionsLock,
} from '../database/tables/month-partitions.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { keepVacuumAway, type LockPatience, lockTables } from './table-locks.ts';

/** Longest duration of the transaction, seconds. The creation of a replication slot in the cluster waits for it. */
export const ADD_MONTH_SECONDS = 240;
/**
 * Of one statement that moves rows, seconds. With the patience for the lock it is less than the transaction's duration,
 * whose end would also end the session.
 */
const MOVE_SECONDS = 150;
/** At most so many rounds before the lock; a round that moved fewer than `FEW_ROWS` is the last one. */
const ROUNDS = 5;
const FEW_ROWS = 500;

export interface AddMonthOptions {
  readonly patience: LockPatience;
  /** Whether rows of the month are to be moved; the default partition must not force row-level security then. */
  readonly drain: boolean;
  readonly now: Date;
}

/**
 * Does nothing where the partition exists.
 * @returns the number of rows that were moved; undefined where the partition was there.
 * @throws {TablesBusy} and the driver's errors; nothing has changed then.
 */
export async function addMonth(
  owner: pg.ClientBase,
  schema: string,
  table: MonthPartitionedTable,
  month: Month,
  { patience, drain, now }: AddMonthOptions,
): Promise<number | undefined> {
  const parent = qualified(schema, table.name);
  const rest = qualified(schema, defaultPartitionName(table));
  return inTransaction(owner, 'read committed', ADD_MONTH_SECONDS, async () => {
    await joinedTransaction(owner, (transaction) => lockForDdl(transaction, partitionsLock(schema)));
    if (await isThere(owner, schema, partitionName(table, month))) return undefined;
    await keepVacuumAway(owner, rest);
    for (const statement of createMonthTable(schema, table, month)) await owner.query(statement);
    const move = drain ? await moveStatement(owner, schema, table, month) : undefined;
    const moveRows = async () => (move ? ((await owner.query(move)).rowCount ?? 0) : 0);
    await owner.query(`SET LOCAL statement_timeout = '${MOVE_SECONDS}s'`);
    let moved = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const rows = await moveRows();
      moved += rows;
      if (rows < FEW_ROWS) break;
    }
    // No request inserts rows of a month that begins in more than a day.
    const isAhead = new Date(month.first).getTime() > now.getTime() + 86_400_000;
    await lockTables(owner, drain || !isAhead ? [parent, rest] : [rest], patience);
    moved += await moveRows();
    for (const statement of attachMonthTable(schema, table, month)) await owner.query(statement);
    return moved;
  });
}

/** From the default partition to the month's table, which has no row-level security yet. */
async function moveStatement(
  owner: pg.ClientBase,
  schema: string,
  table: MonthPartitionedTable,
  month: Month,
): Promise<string> {
  const { rows } = await owner.query<{ name: string }>(
    `select attname as name from pg_catalog.pg_attribute
     where attrelid = pg_catalog.to_regclass($1) and attnum > 0 and not attisdropped order by attnum`,
    [qualified(schema, table.name)],
  );
  const columns = rows.map(({ name }) => identifier(name)).join(', ');
  return `WITH moved AS (
      DELETE FROM ONLY ${qualified(schema, defaultPartitionName(table))} WHERE ${inMonth(table, month)}
      RETURNING ${columns})
    INSERT INTO ${qualified(schema, partitionName(table, month))} (${columns}) SELECT ${columns} FROM moved`;
}

async function isThere(owner: pg.ClientBase, schema: string, table: string): Promise<boolean> {
  const { rows } = await owner.query<{ found: boolean }>(
    'select pg_catalog.to_regclass($1) is not null as found',
    [qualified(schema, table)],
  );
  return rows[0]?.found ?? false;
}

const SECONDS = 120;

/**
 * Drops the partition of one month with all its rows. `DETACH … CONCURRENTLY` is refused beside a default partition, so
 * it takes the parent's lock, for as long as removing the table from the catalogue takes.
 *
 * A partition with rows of a tenant that is being moved stays: the move compares both places in the end. The check is
 * made under the lock. An attempt that has read or written the table before has ended its transaction by then, and had
 * committed its claim before that, so the check sees it; one that begins later finds the partition gone.
 *
 * @returns false where it stays because of a move.
 * @throws {TablesBusy} and the driver's errors; nothing has changed then.
 */
export async function dropMonth(
  owner: pg.ClientBase,
  schema: string,
  table: MonthPartitionedTable,
  month: Month,
  patience: LockPatience,
): Promise<boolean> {
  const parent = qualified(schema, table.name);
  const rest = qualified(schema, defaultPartitionName(table));
  const partition = qualified(schema, partitionName(table, month));
  return inTransaction(owner, 'read committed', SECONDS, async () => {
    await joinedTransaction(owner, (transaction) => lockForDdl(transaction, partitionsLock(schema)));
    const { rowCount } = await owner.query(
      'select from pg_catalog.pg_inherits where inhrelid = pg_catalog.to_regclass($1)',
      [partition],
    );
    if (rowCount === 0) return true;
    await keepVacuumAway(owner, rest);
    await keepVacuumAway(owner, partition);
    await lockTables(owner, [parent, rest, partition], patience);
    // For the owner to see all tenants' rows; the table is locked, and kept or dropped by this very transaction.
    await owner.query(`ALTER TABLE ${partition} NO FORCE ROW LEVEL SECURITY`);
    const { rowCount: moving } = await owner.query(
      `select from tenancy.placement p where p.mover is not null
         and exists (select from only ${partition} r where r.tenant_id = p.tenant_id) limit 1`,
    );
    if (moving) {
      await owner.query(`ALTER TABLE ${partition} FORCE ROW LEVEL SECURITY`);
      return false;
    }
    await owner.query(`ALTER TABLE ${parent} DETACH PARTITION ${partition}; DROP TABLE ${partition}`);
    return true;
  });
}
