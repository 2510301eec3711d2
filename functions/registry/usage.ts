import { type InferResult, sql } from 'kysely';
import { type PageRequest, readCursor } from '../resources/keyset-page.ts';
import type { RegistryExecutor } from './data-api.ts';
import { asNumber, rfc3339 } from './registry-expressions.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly } from './registry-sql.ts';
import { getTenant } from './tenants.ts';

/** One day's figures of a tenant. */
export interface UsageSample {
  readonly tenantId: string;
  /** UTC day, `YYYY-MM-DD`. */
  readonly sampledOn: string;
  /** Users who may sign in. */
  readonly activeUsers: number;
  readonly activeEmployees: number;
  /** Employees of any status. */
  readonly userCount: number | null;
  /** Assessment results. */
  readonly assessmentCount: number | null;
  /** Of the tenant's rows (Starter), or of its tables with their indexes. */
  readonly storageBytes: number | null;
  /** Of the whole database that has the tenant. */
  readonly databaseSizeBytes: number | null;
  /** Rows written since the tenant got its schema; null for a Starter tenant. */
  readonly rowOperations: number | null;
  readonly monthlyRevenue: number | null;
  readonly sampledAt: string;
}

const selectSamples = () =>
  compilingOnly
    .selectFrom('usage_samples as s')
    .select(['s.tenant_id', 's.sampled_on', 's.active_users', 's.active_employees', 's.user_count'])
    .select(['s.assessment_count', 's.storage_bytes', 's.database_size_bytes', 's.row_operations'])
    .select((eb) => [
      asNumber(eb.ref('s.monthly_revenue')).as('monthly_revenue'),
      rfc3339(eb.ref('s.sampled_at'), 'MS').as('sampled_at'),
    ]);

type Row = InferResult<ReturnType<typeof selectSamples>>[number];

/** One page of the tenant's samples, newest first. @throws {ResourceNotFound | InvalidCursor} */
export async function listUsage(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const samples = selectSamples().where('s.tenant_id', '=', tenantId).orderBy('s.sampled_on', 'desc');
  const select = position ? samples.where('s.sampled_on', '<', position.time.slice(0, 10)) : samples;
  const rows = await readBoundedRows(registry, { select, order: sql`sampled_on desc` }, page);
  // A tenant has one sample a day, so the day is the position; the cursor has the same form as in every list.
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
    databaseSizeBytes: row.database_size_bytes,
    rowOperations: row.row_operations,
    monthlyRevenue: row.monthly_revenue,
    sampledAt: row.sampled_at,
  };
}
