/**
 * The registry's record of a backup.
 *
 *   running ──manifest written──▶ succeeded ──expires_at──▶ expired ──objects deleted──▶ (no row)
 *   running ──▶ failed | aborted                            ──expires_at──▶ (no row)
 *
 * `phase` of a running backup: planned (requested), waiting (for the end of a move), begun, then the engine's phases.
 * Only a succeeded backup has a manifest. The objects of the others are garbage.
 * An index of the registry allows one running backup per tenant.
 */
import { type InferResult, sql } from 'kysely';
import { BACKUP_POLICY, backupPrefix } from '../contracts/backup-policy.ts';
import { type IsolationModel, type Tier, WITH_DATA } from '../contracts/tenant.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { now, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { referenceColumn } from '../registry/tenant-record.ts';
import { BackupInProgress, TenantNotBackupable } from './errors.ts';

export type BackupStatus = 'running' | 'succeeded' | 'failed' | 'aborted' | 'expired';

/** The columns of `tenant_backups` that its workflow uses. */
export interface RunningBackup {
  readonly backupId: string;
  readonly tenantId: string;
  readonly status: BackupStatus;
  readonly phase: string;
  readonly prefix: string;
  readonly executionArn: string | null;
  /** Time since the request. */
  readonly ageSeconds: number;
}

/** A tenant whose data can be backed up, and its place. */
export interface BackedUpTenant {
  readonly tenantId: string;
  readonly tier: Tier;
  readonly isolationModel: IsolationModel;
  readonly epoch: number;
  readonly schemaVersion: number;
  readonly region: string;
  /** A move of the tenant is running. */
  readonly isMoving: boolean;
}

const backupsQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenant_backups as b')
    .select(['b.backup_id', 'b.tenant_id', 'b.status', 'b.phase', 'b.prefix', 'b.execution_arn'])
    .select((eb) => secondsSince(eb.ref('b.started_at')).as('age_seconds'));

type BackupsQuery = ReturnType<typeof backupsQuery>;
type BackupRow = InferResult<BackupsQuery>[number];

/** @param where a condition on `tenant_backups as b`. @returns the backups that satisfy it, oldest first. */
export async function selectBackups(
  registry: RegistryExecutor,
  where: (backups: BackupsQuery) => BackupsQuery,
): Promise<RunningBackup[]> {
  const backups = where(backupsQuery(registry)).orderBy('b.started_at').orderBy('b.backup_id');
  return (await backups.execute()).map(toBackup);
}

export async function findBackup(
  registry: RegistryExecutor,
  backupId: string,
): Promise<RunningBackup | undefined> {
  const [backup] = await selectBackups(registry, (backups) => backups.where('b.backup_id', '=', backupId));
  return backup;
}

/** The tenant's running backup; not the one that a restore to a point in time makes. */
export async function findRunningBackup(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<RunningBackup | undefined> {
  const [running] = await selectBackups(registry, (backups) =>
    backups
      .where('b.tenant_id', '=', tenantId)
      .where('b.status', '=', 'running')
      .where('b.restore_id', 'is', null),
  );
  return running;
}

/**
 * Reads the tenant with an id or slug and locks its row until the transaction ends.
 * @returns undefined if the tenant does not exist.
 * @throws {TenantNotBackupable} the tenant has no data in this region.
 */
export async function lockBackedUpTenant(
  transaction: RegistryExecutor,
  reference: string,
): Promise<BackedUpTenant | undefined> {
  const row = await registrySql(transaction)
    .selectFrom('tenants as t')
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['t.tenant_id', 't.status', 't.subscription_tier', 'r.isolation_model', 'r.epoch', 'r.region'])
    .select('r.schema_version as own_version')
    .select('c.schema_version as cell_version')
    .select((eb) =>
      eb
        .exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .whereRef('m.tenant_id', '=', 't.tenant_id')
            .where('m.status', '=', 'running'),
        )
        .as('is_moving'),
    )
    .where(`t.${referenceColumn(reference)}`, '=', reference)
    .forUpdate('t')
    .executeTakeFirst();
  if (!row) return undefined;
  if (row.status === 'elsewhere' || row.status === 'arriving') {
    throw new TenantNotBackupable('The tenant is in another region. Back it up there.');
  }
  if (!WITH_DATA.includes(row.status)) throw new TenantNotBackupable(`The tenant is ${row.status}.`);
  const { isolation_model: isolationModel, epoch, region } = row;
  if (isolationModel === null || epoch === null || region === null) {
    throw new TenantNotBackupable('The tenant has no place yet.');
  }
  return {
    tenantId: row.tenant_id,
    tier: row.subscription_tier,
    isolationModel,
    epoch,
    schemaVersion: (isolationModel === 'shared' ? row.cell_version : row.own_version) ?? 0,
    region,
    isMoving: Boolean(row.is_moving),
  };
}

/** The same for a tenant that is known to exist. @throws {TenantNotBackupable} also if it does not. */
export async function requireBackedUpTenant(
  transaction: RegistryExecutor,
  tenantId: string,
): Promise<BackedUpTenant> {
  const tenant = await lockBackedUpTenant(transaction, tenantId);
  if (!tenant) throw new TenantNotBackupable('The tenant is not known.');
  return tenant;
}

export interface NewBackup {
  readonly backupId: string;
  readonly tenant: BackedUpTenant;
  readonly executionArn: string;
  /**
   * The restore to a point in time that makes this backup. Such a backup may run beside another backup of the tenant.
   */
  readonly restoreId?: string;
  readonly startedBy: string;
  /** `planned` until the execution has begun. */
  readonly phase: 'planned' | 'begun' | 'waiting';
}

/** The columns of a backup that follow from the tenant's place and tier. */
function placeColumns(backupId: string, { tenantId, tier, ...place }: BackedUpTenant) {
  return {
    region: place.region,
    tier,
    isolation_model: place.isolationModel,
    epoch: place.epoch,
    schema_version: place.schemaVersion,
    prefix: backupPrefix(tier, tenantId, backupId),
    expires_at: daysFromNow(BACKUP_POLICY[tier].retentionDays),
  };
}

const daysFromNow = (days: number) => sql<TimeWithoutZone>`now() + ${sql.lit(days)} * interval '24 hours'`;

/**
 * Inserts a running backup and its entry in the audit log.
 * @throws {BackupInProgress} the tenant has a running backup.
 */
export async function insertBackup(
  transaction: RegistryExecutor,
  { backupId, tenant, executionArn, startedBy, phase, restoreId }: NewBackup,
  actor: AuditActor,
): Promise<void> {
  try {
    await registrySql(transaction)
      .insertInto('tenant_backups')
      .values({
        backup_id: backupId,
        tenant_id: tenant.tenantId,
        phase,
        execution_arn: executionArn,
        started_by: startedBy,
        restore_id: restoreId ?? null,
        ...placeColumns(backupId, tenant),
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_backup`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new BackupInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'backup.start',
    tenantId: tenant.tenantId,
    resource: { type: 'backup', id: backupId },
    data: { startedBy, tier: tenant.tier, isolationModel: tenant.isolationModel },
  });
}

/**
 * Sets a recorded backup to begun, or to waiting during a move. Region, prefix and expiry follow the tenant's place
 * now.
 */
export async function setBegun(
  transaction: RegistryExecutor,
  backupId: string,
  tenant: BackedUpTenant,
): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenant_backups')
    .set({
      phase: tenant.isMoving ? 'waiting' : 'begun',
      ...placeColumns(backupId, tenant),
      updated_at: now,
    })
    .where('backup_id', '=', backupId)
    .where('status', '=', 'running')
    // A backup whose attempt is planned keeps its place.
    .where('phase', 'in', ['planned', 'waiting'])
    .execute();
}

export interface BackupEnd {
  readonly status: 'failed' | 'aborted';
  /** May be shown to a client. */
  readonly reason: string;
}

/** Ends a running backup without success. Does nothing if it has ended already. @returns whether it was running. */
export async function endBackup(
  transaction: RegistryExecutor,
  { backupId, tenantId }: { readonly backupId: string; readonly tenantId: string },
  { status, reason }: BackupEnd,
  actor: AuditActor,
): Promise<boolean> {
  const ended = await registrySql(transaction)
    .updateTable('tenant_backups')
    .set({ status, reason, finished_at: now, updated_at: now })
    .where('backup_id', '=', backupId)
    .where('status', '=', 'running')
    .returning('backup_id')
    .execute();
  if (ended.length === 0) return false;
  await recordAudit(transaction, {
    actor,
    action: status === 'aborted' ? 'backup.aborted' : 'backup.fail',
    tenantId,
    resource: { type: 'backup', id: backupId },
    data: { reason },
  });
  return true;
}

function toBackup(row: BackupRow): RunningBackup {
  return {
    backupId: row.backup_id,
    tenantId: row.tenant_id,
    status: row.status,
    phase: row.phase,
    prefix: row.prefix,
    executionArn: row.execution_arn,
    ageSeconds: row.age_seconds,
  };
}
