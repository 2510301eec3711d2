/**
 * Builds the indexes that a migration is about to add to existing tables, without blocking writers: CREATE INDEX in the
 * migration's transaction would block every write of the table until the index is built.
 *
 *   missing ──CREATE INDEX CONCURRENTLY──▶ valid ──the migration finds it──▶ in the history
 *                  └──interrupted──▶ invalid ──DROP INDEX CONCURRENTLY──▶ missing
 *
 * Invariants: nothing here runs in a transaction; one session at a time builds the indexes of a schema. It tries that
 * lock without waiting: the build would wait for the waiting session's snapshot. Of a partitioned table, the
 * partitions' indexes are built, and the migration's CREATE INDEX on the table takes them over. An index of a column of
 * the same version is left to the migration, because the column does not exist yet. So is a unique index that existing
 * rows violate: the migration repairs them first.
 */
import type pg from 'pg';
import { identifier, qualified } from '../ddl/identifier.ts';
import { IndexesInProgress } from '../errors.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { createIndexes, indexName, type RenderTarget } from './render-tables.ts';
import { isPresentAt, type TenantTable, tableAtVersion } from './tenant-table.ts';

const UNIQUE_VIOLATION = '23505';

/**
 * @param owner not in a transaction.
 * @param from version that the target's tables have.
 * @throws {IndexesInProgress} and PostgreSQL's own errors; the next call rebuilds an interrupted index.
 */
export async function buildNewIndexes(
  owner: pg.ClientBase,
  target: RenderTarget,
  tables: readonly TenantTable[],
  from: number,
): Promise<void> {
  const wanted = tables.flatMap((table) => newIndexes(table, from));
  if (wanted.length === 0) return;
  const lock = [`strata indexes ${target.schema}`];
  const { rows } = await owner.query(
    'SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0)) AS locked',
    lock,
  );
  if (!rows[0].locked) throw new IndexesInProgress();
  try {
    for (const table of wanted) {
      for (const { partition, index } of await placesOf(owner, target, table)) {
        if (await isThere(owner, target.schema, index)) continue;
        await build(owner, target, table, partition, index);
      }
    }
  } finally {
    await owner.query('SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended($1, 0))', lock);
  }
}

/** True when tables of version `from` may lack an index of the definition. */
export function lacksIndexes(tables: readonly TenantTable[], from: number): boolean {
  return tables.some((table) => newIndexes(table, from).length > 0);
}

/** The table once for each of its new indexes, with that index only. */
function newIndexes(table: TenantTable, from: number): TenantTable[] {
  const known = tableAtVersion(table, from);
  if (!known || table.until !== undefined) return [];
  return table.indexes
    .filter(({ since = 1, until, columns }) => {
      const isNew = since > from && until === undefined;
      return (
        isNew && columns.every((name) => isPresentAt(table.columns[name]?.spec ?? { since: Infinity }, from))
      );
    })
    .map((index) => ({ ...known, indexes: [index] }));
}

/** The tables to index, with the index names: the table itself, or each of its partitions. */
async function placesOf(
  owner: pg.ClientBase,
  target: RenderTarget,
  table: TenantTable,
): Promise<{ partition: string; index: string }[]> {
  const own = indexName(target, table, table.indexes[0]!);
  if (target.model !== 'shared' || !table.sharedPartitioning) return [{ partition: table.name, index: own }];
  const { rows } = await owner.query<{ partition: string }>(
    `SELECT c.relname AS partition FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = pg_catalog.to_regclass($1) ORDER BY 1`,
    [qualified(target.schema, table.name)],
  );
  const suffix = own.slice(`idx_${table.name}`.length);
  return rows.map(({ partition }) => ({ partition, index: `idx_${partition}${suffix}` }));
}

/** Drops the invalid index of an interrupted build. */
async function isThere(owner: pg.ClientBase, schema: string, index: string): Promise<boolean> {
  const { rows } = await owner.query<{ valid: boolean }>(
    'SELECT indisvalid AS valid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass($1)',
    [qualified(schema, index)],
  );
  if (rows[0]?.valid === false) await owner.query(`DROP INDEX CONCURRENTLY ${qualified(schema, index)}`);
  return rows[0]?.valid === true;
}

async function build(
  owner: pg.ClientBase,
  target: RenderTarget,
  table: TenantTable,
  partition: string,
  index: string,
): Promise<void> {
  try {
    await owner.query(concurrently(target, table, partition, index));
  } catch (error) {
    if (sqlStateOf(error) !== UNIQUE_VIOLATION) throw error;
    // The build leaves an invalid index, which the migration would take for the finished one.
    await owner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${qualified(target.schema, index)}`);
  }
}

function concurrently(target: RenderTarget, table: TenantTable, partition: string, index: string): string {
  const [statement = ''] = createIndexes(target, table);
  const kind = table.indexes[0]?.unique ? 'UNIQUE INDEX' : 'INDEX';
  const columns = statement.slice(statement.indexOf(' ('));
  return `CREATE ${kind} CONCURRENTLY ${identifier(index)} ON ${qualified(target.schema, partition)}${columns}`;
}
