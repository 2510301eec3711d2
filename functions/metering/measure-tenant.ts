/**
 * Measures what one tenant uses of its data database, as the owner, in one read-only snapshot.
 *
 * - shared: through `tenancy.enter_move` and the policies, so no row of another tenant is counted. `storageBytes` are those
 *   of the rows, without indexes and free space. The parts of its storage are measured shares: of each table's heap,
 *   indexes and TOAST the tenant has as much as of the bytes that heap and TOAST store together.
 * - schema, dedicated: the bytes that the tables of its schema occupy, with indexes and TOAST.
 *
 * The placement in the same snapshot decides which of the two applies, because the registry may be behind while a move
 * ends. A fence does not prevent measuring, since nothing is written: the token is taken from the row.
 */
import type pg from 'pg';
import { identifier, literal, qualified } from '../database/ddl/identifier.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { tenantTableOrder } from '../database/tables/tenant-tables.ts';
import { TenantElsewhere } from './errors.ts';

export interface Measurement {
  readonly activeEmployees: number;
  /** Employees of any status. */
  readonly userCount: number;
  /** Assessment results. */
  readonly assessmentCount: number;
  /** null when the sum took too long. */
  readonly storageBytes: number | null;
  /** null when the sum took too long. */
  readonly storage: StorageParts | null;
  /**
   * Rows of the tenant tables written since the schema's statistics began; null for a Starter tenant, because the
   * tables are shared.
   */
  readonly rowOperations: number | null;
  /** Of all tenants in the database. */
  readonly databaseSizeBytes: number;
}

/** What the tenant's rows occupy, in bytes. */
export interface StorageParts {
  readonly tableBytes: number;
  readonly indexBytes: number;
  readonly toastBytes: number;
}

export interface MeasureOptions {
  /** Time limit for the sum of a Starter tenant's rows, in milliseconds. The query reads all of them. */
  readonly sizePatienceMs?: number;
}

interface Placement {
  readonly isolation_model: 'shared' | 'schema' | 'dedicated';
  readonly schema_name: string;
  readonly state: 'active' | 'fenced' | 'moved';
  readonly fence_token: string | null;
}

/** @throws {TenantElsewhere} and the driver's errors. The connection stays usable unless it was lost. */
export async function measureTenant(
  owner: pg.ClientBase,
  tenantId: string,
  { sizePatienceMs = 45_000 }: MeasureOptions = {},
): Promise<Measurement> {
  return inSnapshot(owner, async () => {
    const { rows } = await owner.query<Placement>(
      'select isolation_model, schema_name, state, fence_token from tenancy.placement where tenant_id = $1',
      [tenantId],
    );
    const [placement] = rows;
    if (!placement || placement.state === 'moved') throw new TenantElsewhere();
    if (placement.isolation_model !== 'shared') return measureSchema(owner, placement.schema_name);
    await owner.query('select tenancy.enter_move($1, $2)', [tenantId, placement.fence_token]);
    const counts = await countRows(owner, placement.schema_name);
    const rowBytes = await bytesOfRows(owner, placement.schema_name, sizePatienceMs);
    return {
      ...counts,
      storageBytes: rowBytes && [...rowBytes.values()].reduce((sum, bytes) => sum + bytes, 0),
      storage: rowBytes && (await sharesOf(owner, placement.schema_name, rowBytes)),
      rowOperations: null,
    };
  });
}

async function measureSchema(owner: pg.ClientBase, schemaName: string): Promise<Measurement> {
  const counts = await countRows(owner, schemaName);
  const { rows } = await owner.query<{ operations: number }>(
    `select coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::float8 as operations
     from pg_catalog.pg_stat_user_tables s where s.schemaname = $1 and s.relname = any ($2)`,
    [schemaName, tenantTableOrder],
  );
  const storage = { tableBytes: 0, indexBytes: 0, toastBytes: 0 };
  for (const sizes of await sizesOfTables(owner, schemaName)) {
    storage.tableBytes += sizes.heap;
    storage.indexBytes += sizes.indexes;
    storage.toastBytes += sizes.toast;
  }
  const storageBytes = storage.tableBytes + storage.indexBytes + storage.toastBytes;
  return { ...counts, storageBytes, storage, rowOperations: rows[0]?.operations ?? 0 };
}

interface TableSizes {
  readonly name: string;
  /** In bytes; free space and visibility maps included. */
  readonly heap: number;
  readonly indexes: number;
  readonly toast: number;
}

/** Of the schema's tables and materialized views; a partitioned table has its partitions' sizes. */
async function sizesOfTables(owner: pg.ClientBase, schemaName: string): Promise<TableSizes[]> {
  const { rows } = await owner.query<TableSizes>(
    `select root.relname as name,
            sum(pg_catalog.pg_table_size(c.oid) - toast.bytes)::float8 as heap,
            sum(pg_catalog.pg_indexes_size(c.oid))::float8 as indexes,
            sum(toast.bytes)::float8 as toast
     from pg_catalog.pg_class root
     join pg_catalog.pg_namespace n on n.oid = root.relnamespace
     cross join lateral (
       select root.oid where root.relkind <> 'p'
       union all
       select t.relid from pg_catalog.pg_partition_tree(root.oid) t where root.relkind = 'p' and t.isleaf
     ) as part (oid)
     join pg_catalog.pg_class c on c.oid = part.oid
     cross join lateral (
       select coalesce(pg_catalog.pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) as bytes
     ) as toast
     where n.nspname = $1 and root.relkind in ('r', 'm', 'p') and not root.relispartition
     group by root.relname`,
    [schemaName],
  );
  return rows;
}

/**
 * The tenant's shares of shared tables.
 * @param rowBytes stored size of its rows, by table; out-of-line values included.
 */
async function sharesOf(
  owner: pg.ClientBase,
  schemaName: string,
  rowBytes: ReadonlyMap<string, number>,
): Promise<StorageParts> {
  const shares = { tableBytes: 0, indexBytes: 0, toastBytes: 0 };
  for (const { name, heap, indexes, toast } of await sizesOfTables(owner, schemaName)) {
    const bytes = rowBytes.get(name) ?? 0;
    if (bytes === 0) continue;
    const share = Math.min(1, bytes / (heap + toast));
    shares.tableBytes += share * heap;
    shares.indexBytes += share * indexes;
    shares.toastBytes += share * toast;
  }
  return {
    tableBytes: Math.round(shares.tableBytes),
    indexBytes: Math.round(shares.indexBytes),
    toastBytes: Math.round(shares.toastBytes),
  };
}

async function countRows(
  owner: pg.ClientBase,
  schemaName: string,
): Promise<Pick<Measurement, 'activeEmployees' | 'userCount' | 'assessmentCount' | 'databaseSizeBytes'>> {
  const schema = identifier(schemaName);
  const { rows } = await owner.query(
    `select employees.*, (select count(*)::integer from ${schema}.assessment_results) as "assessmentCount",
            pg_catalog.pg_database_size(pg_catalog.current_database())::float8 as "databaseSizeBytes"
     from (select count(*)::integer as "userCount",
                  (count(*) filter (where status = 'active'))::integer as "activeEmployees"
           from ${schema}.employees) employees`,
  );
  return rows[0];
}

/** By table. Out-of-line values count with their stored, compressed size. */
async function bytesOfRows(
  owner: pg.ClientBase,
  schemaName: string,
  patienceMs: number,
): Promise<ReadonlyMap<string, number> | null> {
  // A database that a rollout of the tables has not reached yet lacks the newest.
  const { rows: present } = await owner.query<{ name: string }>(
    `select c.relname as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind in ('r', 'p') and c.relname = any ($2)`,
    [schemaName, tenantTableOrder],
  );
  const sizes = present.map(
    ({ name }) =>
      `select ${literal(name)} as name, coalesce(sum(pg_catalog.pg_column_size(t.*)), 0)::float8 as bytes
       from ${qualified(schemaName, name)} t`,
  );
  // Without the sum the counts are still useful. The tenant stays entered, because the savepoint is newer than the
  // cursor of `enter`.
  await owner.query(`SAVEPOINT sizes; SET LOCAL statement_timeout = ${Math.round(patienceMs)}`);
  try {
    const { rows } = await owner.query<{ name: string; bytes: number }>(sizes.join(' union all '));
    return new Map(rows.map(({ name, bytes }) => [name, bytes]));
  } catch (error) {
    if (sqlStateOf(error) !== '57014') throw error;
    await owner.query('ROLLBACK TO SAVEPOINT sizes');
    return null;
  }
}

/** Short, because the clean-up of a move waits for transactions that are older than the commit point. */
async function inSnapshot<Result>(owner: pg.ClientBase, work: () => Promise<Result>): Promise<Result> {
  await owner.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '5s';
     SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '2s'; SET LOCAL transaction_timeout = '90s'`,
  );
  try {
    const result = await work();
    await owner.query('COMMIT');
    return result;
  } catch (error) {
    await owner.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
