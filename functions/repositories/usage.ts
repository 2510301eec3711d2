import type { RegistryExecutor } from '../registry/data-api.ts';
import { type PageRequest, readCursor } from './keyset-page.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { getTenant } from './tenants.ts';

/** One day's figures of a tenant. */
export interface UsageSample {
  readonly tenantId: string;
  /** UTC day, `YYYY-MM-DD`. */
  readonly sampledOn: string;
  /** Users who may sign in. */
  readonly activeUsers: number;
  readonly activeEmployees: number;
  /** Employees in whatever status. */
  readonly userCount: number | null;
  /** Assessment results. */
  readonly assessmentCount: number | null;
  /** Of the tenant's rows (Starter) or of its tables with their indexes. */
  readonly storageBytes: number | null;
  /** Of the whole database that the tenant lives in. */
  readonly databaseSizeBytes: number | null;
  /** Rows written since the tenant got its schema; null for a Starter tenant. */
  readonly rowOperations: number | null;
  readonly monthlyRevenue: number | null;
  readonly sampledAt: string;
}

interface Row {
  readonly tenant_id: string;
  readonly sampled_on: string;
  readonly active_users: number;
  readonly active_employees: number;
  readonly user_count: number | null;
  readonly assessment_count: number | null;
  readonly storage_bytes: number | null;
  readonly database_size_bytes: number | null;
  readonly row_operations: number | null;
  readonly monthly_revenue: number | null;
  readonly sampled_at: string;
}

/** One page of the tenant's samples, newest first. @throws {ResourceNotFound | InvalidCursor} */
export async function listUsage(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const select = `SELECT tenant_id::text AS tenant_id, sampled_on::text AS sampled_on, active_users, active_employees, user_count,
            assessment_count, storage_bytes, database_size_bytes, row_operations,
            monthly_revenue::float8 AS monthly_revenue,
            to_char(sampled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS sampled_at
     FROM usage_samples
     WHERE tenant_id = :tenantId::uuid ${position ? 'AND usage_samples.sampled_on < :before::date' : ''}
     ORDER BY usage_samples.sampled_on DESC LIMIT :rows::integer`;
  const before = position ? { before: position.time.slice(0, 10) } : {};
  const rows = await readBoundedRows<Row>(
    registry,
    { select, order: 'sampled_on DESC', parameters: { tenantId, ...before } },
    page,
  );
  // A tenant has one sample a day, so the day is the position; a cursor has the form of every list's.
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
