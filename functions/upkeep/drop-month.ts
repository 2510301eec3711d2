import type pg from 'pg';
import { joinedTransaction, lockForDdl } from '../database/ddl/ddl-connection.ts';
import { qualified } from '../database/ddl/identifier.ts';
import {
  defaultPartitionName,
  type Month,
  type MonthPartitionedTable,
  partitionName,
  partitionsLock,
} from '../database/tables/month-partitions.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { keepVacuumAway, type LockPatience, lockTables } from './table-locks.ts';

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
