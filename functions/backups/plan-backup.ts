/**
 * Plans an attempt: the tables that it reads, and their parts.
 *
 * The parts of a table are ranges; the first and the last range are unbounded. So together they cover every row, even
 * if the table changes between the plan and the snapshot; such changes only make the parts less even.
 * - A tenant's own tables are cut by pages (ctid): each page is read once, in its order on disk. Ranges of random UUIDs
 *   would read the pages in random order, and each page many times. Rows never change pages under the snapshot's lock.
 * - Shared tables are cut by the first column of the primary key: their pages hold rows of all tenants, and an index
 *   finds the rows of one tenant.
 */
import type pg from 'pg';
import { assertUuid, identifier, literal, qualified } from '../database/ddl/identifier.ts';
import { idempotencyKeys, moveMarkers } from '../database/tables/operations-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import type { TenantTable } from '../database/tables/tenant-table.ts';
import { tenantTablesAt } from '../database/tables/tenant-tables.ts';
import { inTransaction } from '../database/transfer/claim.ts';
import { type PlacementRow, readPlacement } from '../database/transfer/fence.ts';
import { isolatedTablesVersion, sharedTablesVersion } from '../database/transfer/place-facts.ts';
import { type BackupContext, connectReader, runningBackup } from './backup-context.ts';
import type { BackupPlan, BackupRecord, PartRange, PlannedPart } from './backup-ledger.ts';
import { BackupDuringMove, SnapshotLost, TablesNewer } from './errors.ts';

export interface CuttingOptions {
  /** Stored size of a part, with its long values; about two seconds of work. */
  readonly partBytes?: number;
}

const PART_BYTES = 96 * 2 ** 20;
const PAGE_BYTES = 8_192;
const MAX_PARTS_OF_TABLE = 4_096;
/** Each conflict with a rollout, and each loss of all workers at once, takes one attempt. */
const MAX_ATTEMPTS = 6;

/**
 * The tables of a schema version that a backup contains, in foreign-key order.
 * Left out: idempotency keys of the last 24 hours, because a restore undoes the effect of a request, and a repeated
 * request must not get the answer that it succeeded; and move markers, which have no meaning outside their move.
 */
export function backedUpTables(schemaVersion: number): TenantTable[] {
  const leftOut: readonly string[] = [idempotencyKeys.name, moveMarkers.name];
  return tenantTablesAt(schemaVersion).filter(({ name }) => !leftOut.includes(name));
}

/**
 * Phase `plan`. Does nothing if the backup is planned already.
 * @throws {BackupDuringMove | TablesNewer | BackupOvertaken} and the driver's errors.
 */
export async function planBackup(context: BackupContext, options?: CuttingOptions): Promise<void> {
  const record = await runningBackup(context.ledger);
  if (record.plan === null) await planAttempt(context, record, options);
}

/**
 * Plans the attempt that follows the record's attempt, for the tenant's current place. Does nothing if another worker
 * has planned it already.
 * @throws {SnapshotLost} after the last attempt.
 * @see planBackup
 */
export async function planAttempt(
  { ledger, connect = connectReader }: BackupContext,
  { tenantId, attempt, cellId, database }: BackupRecord,
  { partBytes = PART_BYTES }: CuttingOptions = {},
): Promise<void> {
  if (attempt >= MAX_ATTEMPTS) throw new SnapshotLost(attempt);
  const { client, hangUp } = await connect(database);
  try {
    const placement = await readPlacement(client, tenantId);
    // `moved`: the registry does not know the new place yet. `mover`: a move, or its clean-up, still has its claim.
    if (!placement || placement.state === 'moved' || placement.mover !== null) throw new BackupDuringMove();
    const plan = await planFor(client, placement, cellId);
    const sizes = await tableBytes(client, tenantId, plan, placement.fence_token);
    await ledger.plan(attempt, plan, partsOf(plan, sizes, partBytes));
  } finally {
    hangUp();
  }
}

async function planFor(
  client: pg.ClientBase,
  placement: PlacementRow,
  cellId: string | null,
): Promise<BackupPlan> {
  const { isolation_model: isolationModel, epoch, schema_name: schemaName } = placement;
  const schemaVersion =
    isolationModel === 'shared'
      ? await sharedTablesVersion(client)
      : await isolatedTablesVersion(client, schemaName);
  if (schemaVersion > TENANT_SCHEMA_VERSION) throw new TablesNewer(schemaVersion, TENANT_SCHEMA_VERSION);
  return { isolationModel, epoch, cellId, schemaName, schemaVersion };
}

interface TableBytes {
  /** Stored size of the rows with their long values. */
  readonly bytes: number;
  /** Pages of the table itself, without its long values. */
  readonly pages: number;
}

async function tableBytes(
  client: pg.ClientBase,
  tenantId: string,
  { isolationModel, schemaName, schemaVersion }: BackupPlan,
  fenceToken: string | null,
): Promise<Map<string, TableBytes>> {
  const tables = backedUpTables(schemaVersion);
  if (isolationModel !== 'shared') {
    const { rows } = await client.query<{ name: string; bytes: string; pages: string }>(
      `select c.relname as name, pg_catalog.pg_table_size(c.oid) as bytes,
              pg_catalog.pg_relation_size(c.oid) / ${PAGE_BYTES} as pages
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relname = any ($2) and c.relkind = 'r'`,
      [schemaName, tables.map(({ name }) => name)],
    );
    return new Map(
      rows.map(({ name, bytes, pages }) => [name, { bytes: Number(bytes), pages: Number(pages) }]),
    );
  }
  return inTransaction(client, 'repeatable read', 300, async () => {
    await client.query('select tenancy.enter_move($1, $2)', [tenantId, fenceToken]);
    const sizes = new Map<string, TableBytes>();
    for (const { name, columns } of tables) {
      // Column by column: `pg_column_size` of a whole row would read its long values first.
      const size = Object.keys(columns).map(
        (column) => `coalesce(pg_catalog.pg_column_size(t.${identifier(column)}), 0)`,
      );
      const { rows } = await client.query<{ bytes: string }>(
        `select coalesce(sum(${size.join(' + ')}), 0) as bytes from ${qualified(schemaName, name)} t
         where t.tenant_id = $1`,
        [tenantId],
      );
      sizes.set(name, { bytes: Number(rows[0]?.bytes), pages: 0 });
    }
    return sizes;
  });
}

/** Large tables come first: the last parts are small then, so no lane waits long for the other lane. */
function partsOf(
  { isolationModel, schemaVersion }: BackupPlan,
  sizes: ReadonlyMap<string, TableBytes>,
  partBytes: number,
): PlannedPart[] {
  const sized = backedUpTables(schemaVersion).map((table) => ({
    table,
    size: sizes.get(table.name) ?? { bytes: 0, pages: 0 },
  }));
  sized.sort((one, other) => other.size.bytes - one.size.bytes);
  return sized.flatMap(({ table, size }) => {
    const count = Math.min(Math.ceil(size.bytes / partBytes), MAX_PARTS_OF_TABLE);
    const ranges = isolationModel === 'shared' ? keyRanges(table, count) : pageRanges(size.pages, count);
    return ranges.map((range, index) => ({ table: table.name, index, range }));
  });
}

function pageRanges(pages: number, count: number): (PartRange | null)[] {
  // A table with long values may have fewer pages than parts: one page of rows may refer to megabytes of long values.
  const cuts = Math.min(count, pages);
  if (cuts < 2) return [null];
  const bound = (index: number) => Math.floor((pages * index) / cuts);
  return Array.from({ length: cuts }, (_, index) => ({
    by: 'pages' as const,
    from: bound(index),
    to: index === cuts - 1 ? null : bound(index + 1),
  }));
}

function keyRanges({ primaryKey: [first = ''], columns }: TenantTable, count: number): (PartRange | null)[] {
  if (count < 2 || columns[first]?.spec.type !== 'uuid') return [null];
  const bound = (index: number) => {
    const digits = Math.floor((index * 2 ** 32) / count).toString(16);
    return `${digits.padStart(8, '0')}-0000-0000-0000-000000000000`;
  };
  return Array.from({ length: count }, (_, index) => ({
    by: 'keys' as const,
    from: index === 0 ? null : bound(index),
    to: index === count - 1 ? null : bound(index + 1),
  }));
}

/**
 * `COPY` of a part's rows to the client. The policies already restrict the rows to the tenant; the condition on the
 * tenant only gives the planner a constant, which the policies do not have.
 */
export function copyStatement(
  { isolationModel, schemaName }: Pick<BackupPlan, 'isolationModel' | 'schemaName'>,
  tenantId: string,
  table: Pick<TenantTable, 'name' | 'primaryKey'>,
  columns: readonly string[],
  range: PartRange | null,
): string {
  assertUuid(tenantId);
  const conditions = [
    ...(isolationModel === 'shared' ? [`t.tenant_id = ${literal(tenantId)}::uuid`] : []),
    ...(range ? within(table, range) : []),
  ];
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : '';
  const selected = columns.map((name) => `t.${identifier(name)}`).join(', ');
  return `COPY (SELECT ${selected} FROM ${qualified(schemaName, table.name)} t${where}) TO STDOUT (FORMAT binary)`;
}

function within({ primaryKey: [first = ''] }: Pick<TenantTable, 'primaryKey'>, range: PartRange): string[] {
  const [column, bounds] =
    range.by === 'pages'
      ? ['t.ctid', [range.from, range.to].map((page) => (page === null ? null : pageStart(page)))]
      : [
          `t.${identifier(first)}`,
          [range.from, range.to].map((key) => (key === null ? null : keyStart(key))),
        ];
  const [from, to] = bounds as [string | null, string | null];
  return [...(from ? [`${column} >= ${from}`] : []), ...(to ? [`${column} < ${to}`] : [])];
}

function pageStart(page: number): string {
  if (!Number.isSafeInteger(page) || page < 0) throw new TypeError('not the number of a page');
  return `'(${page},0)'::tid`;
}

function keyStart(key: string): string {
  assertUuid(key);
  return `${literal(key)}::uuid`;
}
