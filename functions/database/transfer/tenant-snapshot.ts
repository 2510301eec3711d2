/**
 * Reads all tables of a tenant as of one moment, over several connections and for longer than one function runs.
 *
 * One connection takes a snapshot and exports it. Other connections import it, and may export it again under another name.
 * A snapshot exists as long as one transaction has it. Every such transaction
 * - is read only and enters the tenant by `enter_move`, so the policies show it the rows of that Starter tenant only;
 * - holds ACCESS SHARE on all tables that it reads, because a rewritten or truncated table would look empty to it. It takes
 *   these locks before the snapshot; with an imported snapshot, while the exporting transaction still holds them;
 * - holds the DDL lock of the tables in shared mode. DDL requests that lock exclusively and waits for it, up to its
 *   `lock_timeout`, before it requests the locks of the tables: so no request queues behind DDL. `isInTheWay` tells a
 *   reader about waiting DDL, and the reader ends. A reader that begins while DDL waits fails with `TablesLocked`;
 * - has no transaction id, so no replication slot of a move waits for it. While it runs, VACUUM removes no row of the
 *   database that was deleted after the snapshot, and the clean-up of a move that was committed after it does not begin;
 * - ends after `TRANSACTION_SECONDS`, or when its client sends nothing for `IDLE_SECONDS` or disconnects.
 */
import type pg from 'pg';
import type { IsolationModel } from '../../contracts/tenant.ts';
import { ddlLock } from '../ddl/ddl-connection.ts';
import { assertUuid, identifier, literal, qualified } from '../ddl/identifier.ts';
import { SHARED_TABLES_LOCK } from '../provisioning/shared-tables-lock.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { SnapshotGone, TablesLocked } from './errors.ts';

/** The place to read, and its tables. */
export interface SnapshotPlace {
  readonly tenantId: string;
  readonly epoch: number;
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
  readonly tables: readonly TenantTable[];
}

/** Longer than a function runs: 15 minutes. */
const TRANSACTION_SECONDS = 930;
const IDLE_SECONDS = 60;
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Begins a transaction with the snapshot `imported`, or with a new one, and enters the tenant.
 * @throws {SnapshotGone} the last transaction with the snapshot has ended, or the tenant has another place now.
 * @throws {TablesLocked} DDL on the tables runs or waits. No lock is held; try again later.
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
    // LOCK takes no snapshot; the first query after it does.
    await reader.query(
      `LOCK TABLE ${place.tables.map(({ name }) => qualified(place.schemaName, name)).join(', ')} IN ACCESS SHARE MODE`,
    );
    await enter(reader, place);
  } catch (error) {
    await reader.query('ROLLBACK').catch(() => {});
    // The table does not exist any more: the tenant has left the place.
    if (sqlStateOf(error) === '42P01' || sqlStateOf(error) === '3F000')
      throw new SnapshotGone('a table of the place is gone', { cause: error });
    if (sqlStateOf(error) === '55P03')
      throw new TablesLocked('DDL on the tables is under way', { cause: error });
    throw error;
  }
}

/** @returns the name under which other connections can import the snapshot until this transaction ends. */
export async function exportSnapshot(reader: pg.ClientBase): Promise<string> {
  const { rows } = await reader.query<{ snapshot: string }>(
    'select pg_catalog.pg_export_snapshot() as snapshot',
  );
  return rows[0]!.snapshot;
}

/** Whether a transaction still has the snapshot. @param connection in no transaction. */
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

/** Why a reader has to end early. */
export type InTheWay = 'of a committed move' | 'of DDL';

/**
 * Whether the readers block something. Call it about once a second. The copy of a move and the readers do not block each
 * other; after the commit of a move, its clean-up waits for the readers.
 * @param connection in no transaction. @param pids of the readers' sessions.
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
    // 42704: there is no such file. 22023: the snapshot is of another database. 55000: its transaction has just ended.
    if (['42704', '22023', '55000'].includes(sqlStateOf(error) ?? ''))
      throw new SnapshotGone('the snapshot’s transactions have ended', { cause: error });
    throw error;
  }
}

/** Checks in the snapshot that the tenant is at the planned place. A fence does not matter, because nothing is written. */
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
