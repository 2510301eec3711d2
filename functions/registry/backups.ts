import { type InferResult, sql } from 'kysely';
import { BACKUP_POLICY } from '../contracts/backup-policy.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { ResourceNotFound } from '../resources/errors.ts';
import type { PageRequest } from '../resources/keyset-page.ts';
import { findInRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { parseJson, type TimeWithoutZone } from './registry-column.ts';
import { asText, now, rfc3339 } from './registry-expressions.ts';
import { pageOfRegions, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';
import type { BackupDrill } from './registry-tables.ts';

/** A backup as the API shows it. */
export interface BackupView {
  readonly backupId: string;
  readonly tenantId: string;
  /** Key of the region whose bucket has it. */
  readonly region: string;
  /** Of the tenant when the backup was taken, like the isolation model. */
  readonly tier: Tier;
  readonly isolationModel: IsolationModel;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  /** Written so far; a part is one object. All 0 until the backup is planned. */
  readonly progress: {
    readonly partsDone: number;
    readonly partsTotal: number;
    readonly rowsDone: number;
    readonly bytesDone: number;
  };
  /** null until it has succeeded. */
  readonly rows: number | null;
  /** Of the stored objects. */
  readonly bytes: number | null;
  /** The latest restore drill; null before the first one. */
  readonly lastDrill: BackupDrill | null;
  readonly executionArn: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  /** The moment whose data it holds. */
  readonly snapshotAt: string | null;
  readonly finishedAt: string | null;
  readonly expiresAt: string;
}

type Figure = 'partsDone' | 'partsTotal' | 'rowsDone' | 'bytesDone';

/** The backups that the API shows. An expired one is left out, whether its row still exists or not. */
const selectBackups = (db: RegistrySql) =>
  db
    .selectFrom('tenant_backups as b')
    .select(['b.backup_id', 'b.tenant_id', 'b.region', 'b.tier', 'b.isolation_model'])
    .select(['b.phase', 'b.reason', 'b.rows', 'b.bytes', 'b.execution_arn', 'b.started_by'])
    .select((eb) => [
      eb.ref('b.status').$castTo<BackupView['status']>().as('status'),
      eb
        .selectFrom('tenant_backup_parts as p')
        .select(
          sql<string>`cast(jsonb_build_object(
            'partsDone', count(*) filter (where p.state = 'done'), 'partsTotal', count(*),
            'rowsDone', coalesce(sum(p.rows) filter (where p.state = 'done'), 0),
            'bytesDone', coalesce(sum(p.stored_bytes) filter (where p.state = 'done'), 0)) as text)`.as(
            'progress',
          ),
        )
        .whereRef('p.backup_id', '=', 'b.backup_id')
        .$asScalar()
        .$notNull()
        .as('progress'),
      asText(eb.ref('b.last_drill')).as('last_drill'),
      rfc3339(eb.ref('b.started_at')).as('started_at'),
      rfc3339(eb.ref('b.snapshot_at')).as('snapshot_at'),
      rfc3339(eb.ref('b.finished_at')).as('finished_at'),
      rfc3339(eb.ref('b.expires_at')).as('expires_at'),
    ])
    .where('b.status', '<>', 'expired')
    .where('b.expires_at', '>', now);

type BackupRow = InferResult<ReturnType<typeof selectBackups>>[number];

/**
 * One page of a tenant's backups, oldest first. A backup stays in the region where it was taken, also after the tenant has
 * moved to another one.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listBackups(registries: Regions, tenantId: string, page: PageRequest) {
  const backups = selectBackups(compilingOnly).where('b.tenant_id', '=', tenantId);
  const list = startedList(backups, { alias: 'b', table: 'tenant_backups', id: 'backup_id' }, page);
  return pageOfRegions(registries, list, page, toView);
}

/** RFC 3339. */
export interface BackupWindow {
  readonly from: string;
  readonly to: string;
}

/**
 * The period to which the tenant can be restored from the continuous backup of its cluster. It ends now. It begins with the
 * retention or, if that is later, when the tenant arrived in the cluster: before that it was in another one. (RDS archives
 * a change within five minutes; a restore to a time after that waits for it.)
 * @returns null for a tier without restores to a point in time, and for a tenant without a place.
 */
export async function pointInTimeWindow(
  registry: RegistryExecutor,
  { tenantId, tier }: { readonly tenantId: string; readonly tier: Tier },
): Promise<BackupWindow | null> {
  const { pointInTime, retentionDays } = BACKUP_POLICY[tier];
  if (!pointInTime) return null;
  const row = await registrySql(registry)
    .selectFrom('tenant_database_routing as r')
    .select((eb) => {
      const retained = sql`now() - ${sql.lit(retentionDays)} * interval '24 hours'`;
      const from = sql<TimeWithoutZone>`greatest(${eb.ref('r.arrived_at')}, ${retained})`;
      return [rfc3339(from).as('from'), rfc3339(now).as('to')];
    })
    .where('r.tenant_id', '=', tenantId)
    .executeTakeFirst();
  return row ?? null;
}

/** @param registry of the region that took the backup. @throws {ResourceNotFound} also for an expired one. */
export async function getBackup(
  registry: RegistryExecutor,
  tenantId: string,
  backupId: string,
): Promise<BackupView> {
  const backup = await readBackup(registry, tenantId, backupId);
  if (!backup) throw new ResourceNotFound('no such backup');
  return backup;
}

/**
 * A backup of the tenant, from its present region or from an earlier one.
 * @throws {ResourceNotFound | RegionUnavailable}
 */
export async function findBackupOfRegions(
  registries: Regions,
  { region, tenantId }: { region: string; tenantId: string },
  backupId: string,
): Promise<BackupView> {
  const stored = await findInRegions(registries, region, (registry) =>
    readBackup(registry, tenantId, backupId),
  );
  if (!stored) throw new ResourceNotFound('no such backup');
  return stored.found;
}

/** The latest restore drill of any of the tenant's backups; null before the first one. */
export async function lastDrillOf(registry: RegistryExecutor, tenantId: string): Promise<BackupDrill | null> {
  const row = await registrySql(registry)
    .selectFrom('tenants')
    .select((eb) => asText(eb.ref('last_drill')).as('last_drill'))
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst();
  return row?.last_drill ? parseJson(row.last_drill) : null;
}

async function readBackup(
  registry: RegistryExecutor,
  tenantId: string,
  backupId: string,
): Promise<BackupView | undefined> {
  const row = await selectBackups(registrySql(registry))
    .where('b.tenant_id', '=', tenantId)
    .where('b.backup_id', '=', backupId)
    .executeTakeFirst();
  return row && toView(row);
}

function toView(row: BackupRow): BackupView {
  return {
    backupId: row.backup_id,
    tenantId: row.tenant_id,
    region: row.region,
    tier: row.tier,
    isolationModel: row.isolation_model,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    progress: JSON.parse(row.progress) as Record<Figure, number>,
    rows: row.rows,
    bytes: row.bytes,
    lastDrill: row.last_drill === null ? null : parseJson(row.last_drill),
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    startedAt: row.started_at,
    snapshotAt: row.snapshot_at,
    finishedAt: row.finished_at,
    expiresAt: row.expires_at,
  };
}
