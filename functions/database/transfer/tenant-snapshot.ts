/**
 * Reading all of a tenant's tables as of one moment, over several connections and for longer than one function lives.
 *
 * One connection takes a snapshot and exports it; others import it, and may export it again under a name of their own.
 * A snapshot lives as long as a transaction that has it. Every such transaction
 * - reads only, enters the tenant by `enter_move`, and so sees a Starter tenant's rows through the policies and no others;
 * - holds ACCESS SHARE on all tables that are read, from before the snapshot is taken (or, where it is imported, while the
 *   transaction that it comes from still holds them) to its end: a rewritten or truncated table would look empty to it;
 * - holds the lock of DDL on them shared. DDL that wants it exclusively waits there for its `lock_timeout`, in front of
 *   the table's own locks: so requests do not queue up behind it. `isInTheWay` tells the reader, who ends then. A reader
 *   that comes while DDL waits gets nothing (`TablesLocked`);
 * - takes no transaction id: no replication slot of a move waits for it. It does keep VACUUM from removing what has been
 *   deleted since, in the whole database, and the clean-up of a move that was committed meanwhile from beginning;
 * - ends by itself after `TRANSACTION_SECONDS`, or when its client does nothing for `IDLE_SECONDS` or is gone.
 */
import type pg from 'pg';
import type { IsolationModel } from '../../contracts/tenant.ts';
import { ddlLock } from '../ddl/ddl-connection.ts';
import { assertUuid, identifier, literal, qualified } from '../ddl/identifier.ts';
import { SHARED_TABLES_LOCK } from '../provisioning/shared-tables-lock.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { SnapshotGone, TablesLocked } from './errors.ts';

/** The place that is read, and the tables of it. */
export interface SnapshotPlace {
  readonly tenantId: string;
  readonly epoch: number;
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
  readonly tables: readonly TenantTable[];
}

/** A function lives for 15 minutes at most. */
const TRANSACTION_SECONDS = 930;
const IDLE_SECONDS = 60;
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Begins a transaction that has the snapshot `imported`, or a new one, and enters the tenant.
 * @throws {SnapshotGone} the snapshot's last transaction has ended, or the place is another by now.
 * @throws {TablesLocked} DDL on the tables is under way, or waits. Nothing is held; try again later.
 */
export async function beginSnapshot(
  reader: pg.ClientBase,
  place: SnapshotPlace,
  imported?: string,
): Promise<void> {
  try {
    await reader.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
       SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms';
       SET LOCAL idle_in_transaction_session_timeout = '${IDLE_SECONDS}s';
       SET LOCAL transaction_timeout = '${TRANSACTION_SECONDS}s';
       SET LOCAL client_connection_check_interval = '2s';
       SET LOCAL max_parallel_workers_per_gather = 0`,
    );
    if (imported !== undefined) await importSnapshot(reader, imported);
    // Takes no snapshot: a new one is taken by the first query behind the locks.
    await reader.query(
      `LOCK TABLE ${place.tables.map(({ name }) => qualified(place.schemaName, name)).join(', ')} IN ACCESS SHARE MODE`,
    );
    await enter(reader, place);
  } catch (error) {
    await reader.query('ROLLBACK').catch(() => {});
    // A table that is not there any more: the place was left.
    if (sqlStateOf(error) === '42P01' || sqlStateOf(error) === '3F000')
      throw new SnapshotGone('a table of the place is gone', { cause: error });
    if (sqlStateOf(error) === '55P03')
      throw new TablesLocked('DDL on the tables is under way', { cause: error });
    throw error;
  }
}

/** A name under which others can import the transaction's snapshot while the transaction lasts. */
export async function exportSnapshot(reader: pg.ClientBase): Promise<string> {
  const { rows } = await reader.query<{ snapshot: string }>(
    'select pg_catalog.pg_export_snapshot() as snapshot',
  );
  return rows[0]!.snapshot;
}

/** Whether a transaction that has the snapshot lives, asked on a connection that is in no transaction. */
export async function snapshotLives(connection: pg.ClientBase, snapshot: string): Promise<boolean> {
  await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await importSnapshot(connection, snapshot);
    return true;
  } catch (error) {
    if (error instanceof SnapshotGone) return false;
    throw error;
  } finally {
    await connection.query('ROLLBACK');
  }
}

/** What makes a reader end before its work is done. */
export type InTheWay = 'of a committed move' | 'of DDL';

/**
 * Whether the readers are in the way of something: asked about once a second, on a connection that is in no transaction.
 * A move that only copies is not stopped by them, and does not stop them. Once it is committed, its clean-up waits for
 * them.
 * @param pids of the readers' sessions.
 */
export async function isInTheWay(
  connection: pg.ClientBase,
  { tenantId, epoch, schemaName }: SnapshotPlace,
  pids: readonly number[],
): Promise<InTheWay | undefined> {
  const { rows } = await connection.query<{ here: boolean; waiting: boolean }>(
    `select exists (select from tenancy.placement where tenant_id = $1 and epoch = $2 and schema_name = $3
                    and state <> 'moved') as here,
            exists (select from pg_catalog.pg_locks l
                    where not l.granted and pg_catalog.pg_blocking_pids(l.pid) && $4::int[]) as waiting`,
    [tenantId, epoch, schemaName, pids],
  );
  const [found] = rows;
  if (!found?.here) return 'of a committed move';
  return found.waiting ? 'of DDL' : undefined;
}

async function importSnapshot(reader: pg.ClientBase, snapshot: string): Promise<void> {
  if (!/^[0-9A-F-]{1,64}$/.test(snapshot)) throw new TypeError('not the name of a snapshot');
  try {
    await reader.query(`SET TRANSACTION SNAPSHOT ${literal(snapshot)}`);
  } catch (error) {
    // 42704: there is no such file. 22023: it is another database's. 55000: its transaction has just ended.
    if (['42704', '22023', '55000'].includes(sqlStateOf(error) ?? ''))
      throw new SnapshotGone('the snapshot’s transactions have ended', { cause: error });
    throw error;
  }
}

/** Checks in the snapshot itself that the place is the one that was planned. A fence is no obstacle: nothing is written. */
async function enter(reader: pg.ClientBase, place: SnapshotPlace): Promise<void> {
  const { tenantId, epoch, isolationModel, schemaName } = place;
  assertUuid(tenantId);
  identifier(schemaName);
  const lock = isolationModel === 'shared' ? SHARED_TABLES_LOCK : ddlLock(schemaName);
  const { rows } = await reader.query<{ fence_token: string | null; locked: boolean }>(
    `select p.fence_token,
            pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.hashtextextended($5, 0)) as locked
     from tenancy.placement p
     where p.tenant_id = $1 and p.epoch = $2 and p.isolation_model = $3 and p.schema_name = $4 and p.state <> 'moved'`,
    [tenantId, epoch, isolationModel, schemaName, lock],
  );
  const [placement] = rows;
  if (!placement) throw new SnapshotGone('the tenant is placed differently');
  if (!placement.locked) throw new TablesLocked('DDL on the tables is under way');
  await reader.query('select tenancy.enter_move($1, $2)', [tenantId, placement.fence_token]);
}
