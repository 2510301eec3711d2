import { type InferResult, sql } from 'kysely';
import { type PageRequest, readCursor } from '../resources/keyset-page.ts';
import type { RegistryExecutor } from './data-api.ts';
import { asNumber, columnValue, rfc3339 } from './registry-expressions.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly } from './registry-sql.ts';
import { getTenant } from './tenant-record.ts';

/**
 * One day's figures of a tenant: the sample that the daily run has taken, and the sums of the day's requests. A day has the
 * one, the other, or both; what it does not have is null.
 */
export interface UsageSample {
  readonly tenantId: string;
  /** UTC day, `YYYY-MM-DD`. */
  readonly sampledOn: string;
  /** Users who may sign in. */
  readonly activeUsers: number | null;
  readonly activeEmployees: number | null;
  /** Employees of any status. */
  readonly userCount: number | null;
  /** Assessment results. */
  readonly assessmentCount: number | null;
  /** Of the tenant's rows (Starter), or of its tables with their indexes. */
  readonly storageBytes: number | null;
  /** The parts of its storage; of a Starter tenant its measured shares of the shared tables. */
  readonly tableBytes: number | null;
  readonly indexBytes: number | null;
  readonly toastBytes: number | null;
  /** Of the whole database that has the tenant. */
  readonly databaseSizeBytes: number | null;
  /** Rows written since the tenant got its schema; null for a Starter tenant. */
  readonly rowOperations: number | null;
  readonly monthlyRevenue: number | null;
  readonly sampledAt: string | null;
  readonly requests: number | null;
  /** Requests whose answer was a 5xx. */
  readonly errors: number | null;
  /** Milliseconds of all requests together, and of their transactions. */
  readonly requestMs: number | null;
  readonly databaseMs: number | null;
  /** Of requests' and answers' bodies. */
  readonly bytesIn: number | null;
  readonly bytesOut: number | null;
  /** Users with a request on that day. */
  readonly actingUsers: number | null;
  readonly movedBytes: number | null;
  /** Of the backups that were taken on that day, and of those that were kept then. */
  readonly backedUpBytes: number | null;
  readonly keptBackupBytes: number | null;
}

/** Both ends are included; UTC days, `YYYY-MM-DD`. */
export interface DayRange {
  readonly from: string;
  readonly to: string;
}

/** The days of the range; of every sample, when it is absent. */
const selectDays = (tenantId: string, range: DayRange | undefined) => {
  const days = compilingOnly
    .selectFrom((db) => db.selectFrom('usage_samples').selectAll().where('tenant_id', '=', tenantId).as('s'))
    .fullJoin(
      (db) => db.selectFrom('usage_days').selectAll().where('tenant_id', '=', tenantId).as('d'),
      (join) => join.onRef('d.day', '=', 's.sampled_on'),
    )
    .select((eb) => [
      eb.fn.coalesce('s.tenant_id', 'd.tenant_id').$notNull().as('tenant_id'),
      DAY.as('sampled_on'),
      asNumber(eb.ref('s.monthly_revenue')).as('monthly_revenue'),
      rfc3339(eb.ref('s.sampled_at'), 'MS').as('sampled_at'),
    ])
    .select(['s.active_users', 's.active_employees', 's.user_count', 's.assessment_count'])
    .select(['s.storage_bytes', 's.table_bytes', 's.index_bytes', 's.toast_bytes'])
    .select(['s.database_size_bytes', 's.row_operations'])
    .select(['d.requests', 'd.errors', 'd.request_ms', 'd.database_ms', 'd.bytes_in', 'd.bytes_out'])
    .select(['d.acting_users', 'd.moved_bytes', 'd.backed_up_bytes', 'd.kept_backup_bytes'])
    .orderBy(DAY, 'desc');
  if (range === undefined) return days.where('s.tenant_id', 'is not', null);
  return days
    .where(DAY, '>=', columnValue('usage_days.day', range.from))
    .where(DAY, '<=', columnValue('usage_days.day', range.to));
};

const DAY = sql<string>`coalesce(s.sampled_on, d.day)`;

type Row = InferResult<ReturnType<typeof selectDays>>[number];

/**
 * One page of the tenant's days, newest first.
 * @param range absent: the days with a sample.
 * @throws {ResourceNotFound | InvalidCursor}
 */
export async function listUsage(
  registry: RegistryExecutor,
  tenantReference: string,
  page: PageRequest,
  range?: DayRange,
) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const days = selectDays(tenantId, range);
  const select = position
    ? days.where(DAY, '<', columnValue('usage_days.day', position.time.slice(0, 10)))
    : days;
  const rows = await readBoundedRows(registry, { select, order: sql`sampled_on desc` }, page);
  // A tenant has one row a day, so the day is the position; the cursor has the same form as in every list.
  const positionOf = (row: Row) => ({ time: `${row.sampled_on}T00:00:00Z`, id: row.tenant_id });
  return pageOfBoundedRows(rows, page, positionOf, toSample);
}

function toSample(row: Row): UsageSample {
  return {
    tenantId: row.tenant_id,
    sampledOn: row.sampled_on,
    activeUsers: row.active_users,
    activeEmployees: row.active_employees,
    userCount: row.user_count,
    assessmentCount: row.assessment_count,
    storageBytes: row.storage_bytes,
    tableBytes: row.table_bytes,
    indexBytes: row.index_bytes,
    toastBytes: row.toast_bytes,
    databaseSizeBytes: row.database_size_bytes,
    rowOperations: row.row_operations,
    monthlyRevenue: row.monthly_revenue,
    sampledAt: row.sampled_at,
    requests: row.requests,
    errors: row.errors,
    requestMs: row.request_ms,
    databaseMs: row.database_ms,
    bytesIn: row.bytes_in,
    bytesOut: row.bytes_out,
    actingUsers: row.acting_users,
    movedBytes: row.moved_bytes,
    backedUpBytes: row.backed_up_bytes,
    keptBackupBytes: row.kept_backup_bytes,
  };
}
