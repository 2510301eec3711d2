import { sql } from 'kysely';
import { DUE_AFTER_HOURS } from '../contracts/backup-policy.ts';
import { WITH_DATA } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { hasItsRows } from '../registry/lost-tenants.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/**
 * The progress of a fleet's run. The first pass leaves out tenants that are being moved, so that they do not delay the
 * others. The second pass takes all tenants that are still due and were not tried in this run.
 */
export interface FleetCursor {
  /** The run's begin by the registry's clock, RFC 3339. */
  readonly startedAt: string;
  readonly pass: 1 | 2;
  /** The last tenant of the previous page. */
  readonly after?: string | undefined;
}

/** The due tenants of one cell, or a share of the due Enterprise tenants. Groups run in parallel. */
export interface FleetGroup {
  /** The cell, or `dedicated <n>`. */
  readonly group: string;
  readonly tenants: readonly { readonly tenantId: string }[];
}

export interface FleetPage {
  readonly groups: readonly FleetGroup[];
  /** Absent after the last page. */
  readonly next?: FleetCursor;
}

/** A state of Step Functions is limited to 256 KiB; a tenant's id with its result has 120 bytes. */
export const PAGE_SIZE = 1_000;
/** Each Enterprise tenant has a cluster of its own, so several groups of them may run at once. */
const DEDICATED_GROUPS = 5;

/**
 * Reads the next page of a region's tenants whose daily backup is due: tenants without a running or succeeded backup
 * that began within the last 20 hours.
 * @param cursor undefined for the first page of a run.
 */
export async function listDueTenants(
  registry: RegistryExecutor,
  region: string,
  cursor?: FleetCursor,
  pageSize = PAGE_SIZE,
): Promise<FleetPage & { readonly startedAt: string }> {
  const { startedAt, pass, after } = cursor ?? { startedAt: await clockOf(registry), pass: 1 as const };
  const recently = sql<TimeWithoutZone>`now() - ${sql.lit(DUE_AFTER_HOURS)} * interval '1 hour'`;
  const rows = await registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select(['t.tenant_id', 'r.cell_id'])
    .where('r.region', '=', region)
    .where('t.status', 'in', WITH_DATA)
    .where(hasItsRows)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('tenant_backups as b')
            .select('b.backup_id')
            .whereRef('b.tenant_id', '=', 't.tenant_id')
            .where('b.status', 'in', ['running', 'succeeded'])
            // The backup of a restore to a point in time has the rows of that time, so it does not count.
            .where('b.restore_id', 'is', null)
            .where('b.started_at', '>', recently),
        ),
      ),
    )
    .$if(pass === 1, (due) =>
      due.where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('tenant_moves as m')
              .select('m.move_id')
              .whereRef('m.tenant_id', '=', 't.tenant_id')
              .where('m.status', '=', 'running'),
          ),
        ),
      ),
    )
    .$if(pass === 2, (due) =>
      due.where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('tenant_backups as tried')
              .select('tried.backup_id')
              .whereRef('tried.tenant_id', '=', 't.tenant_id')
              .where('tried.restore_id', 'is', null)
              .where('tried.started_at', '>=', columnValue('tenant_backups.started_at', startedAt)),
          ),
        ),
      ),
    )
    .$if(after !== undefined, (due) => due.where('t.tenant_id', '>', after as string))
    .orderBy('t.tenant_id')
    .limit(pageSize)
    .execute();
  const isFull = rows.length === pageSize;
  const last = rows.at(-1)?.tenant_id;
  const next: FleetCursor | undefined = isFull
    ? { startedAt, pass, after: last }
    : pass === 1
      ? { startedAt, pass: 2 }
      : undefined;
  return { startedAt, groups: grouped(rows), ...(next ? { next } : {}) };
}

function grouped(rows: readonly { tenant_id: string; cell_id: string | null }[]): FleetGroup[] {
  const groups = new Map<string, { tenantId: string }[]>();
  let dedicated = 0;
  for (const { tenant_id: tenantId, cell_id: cellId } of rows) {
    const group = cellId ?? `dedicated ${(dedicated++ % DEDICATED_GROUPS) + 1}`;
    groups.set(group, [...(groups.get(group) ?? []), { tenantId }]);
  }
  return [...groups].map(([group, tenants]) => ({ group, tenants }));
}

async function clockOf(registry: RegistryExecutor): Promise<string> {
  const [row] = await registry.query<{ now: string }>(
    `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now`,
  );
  return (row as { now: string }).now;
}
