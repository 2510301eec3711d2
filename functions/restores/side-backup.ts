/**
 * The first part of a restore to a point in time. It makes a backup of the tenant's rows at that time from a side
 * cluster: a copy of the tenant's current cluster, restored to that time. The rest is a restore of that backup.
 *
 *   (none) ──driveSide──▶ restoring ▶ ready ──its master gets the owner's current password──▶ open
 *      ▲                                            open ──beginSideBackup──▶ secured, backup recorded ──▶ (backup phases)
 *      └─────────── dropSide, or sweepSideClusters, in any state ◀───────────────────────────────────────────┘
 *
 * Invariants
 * - from the first call on, the restore's record has the cluster to copy and the tenant whose rows are read: if the
 *   source of a clone moves to another cluster meanwhile, the copy stays the same;
 * - a side cluster is named after its restore, so a later execution, or the sweep, finds it without any record;
 * - nothing reads the copy before `secureCopy` has closed it to all other logins;
 * - no side cluster outlives its restore: the workflow drops it at each of its ends, and the sweep drops those of
 *   killed workflows.
 */
import { randomUUID } from 'node:crypto';
import { SideClusterFailed } from '../aws/errors.ts';
import {
  driveSideCluster,
  isSideClusterDeleting,
  listSideClusters,
  removeSideCluster,
  setSideMasterPassword,
} from '../aws/side-cluster.ts';
import {
  endBackup,
  insertBackup,
  lockBackedUpTenant,
  type RunningBackup,
  selectBackups,
} from '../backups/backup-records.ts';
import { SIDE_CLUSTERS } from '../contracts/names.ts';
import { isUuid } from '../contracts/tenant.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { secureCopy, setOwnerPassword } from '../database/provisioning/secure-copy.ts';
import { asOwner, type OwnedDatabase } from '../database/session/owner-connection.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { MoveAborted, MoveOvertaken } from '../moves/errors.ts';
import { findMove, type MoveRecord } from '../moves/move-records.ts';
import { findPlace } from '../places/place.ts';
import { readSecret } from '../places/tenant-secret.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { SideClusterUnreachable, TenantAbsentThen, TenantNotRestorable } from './errors.ts';
import { noteRestore, type Restore, type SideSource } from './restore-records.ts';

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/** Network and parameter group of the region's side clusters. */
export interface SideSettings {
  readonly subnetGroup: string;
  readonly securityGroupId: string;
  readonly parameterGroup: string;
}

/** The database of a side cluster, for the phases of its backup. */
export interface SideDatabase extends OwnedDatabase {
  readonly masterUsername: string;
  /** The time of its rows, RFC 3339. */
  readonly rowsOf: string;
}

/** The result of a call of {@link driveSide}; it is an input of the next call. */
export type SideProgress =
  | { readonly done: false; readonly passwordSet: boolean }
  | { readonly done: true; readonly database: SideDatabase };

/** A side cluster exists for an hour or two, and one backup reads it: its capacity grows while the backup reads. */
const CAPACITY = { min: 0.5, max: 16 } as const;
/** RDS needs minutes; half an hour for a large cluster. */
const LONGEST_SECONDS = 6 * 3_600;

export const sideClusterOf = (restoreId: string): string => `${SIDE_CLUSTERS}${restoreId}`;

/**
 * Creates the side cluster of a restore. Call it until it is done.
 * @throws {TimeNotRestorable | SideClusterFailed | SideClusterTaken | TenantNotRestorable}
 * @throws {MoveOvertaken | MoveAborted} the restore has ended, or an operator has aborted it.
 * @throws RDS's errors, such as `DBClusterQuotaExceededFault`.
 */
export async function driveSide(
  registry: RegistryExecutor,
  restoreId: string,
  settings: SideSettings,
  { passwordSet = false }: { readonly passwordSet?: boolean | undefined } = {},
): Promise<SideProgress> {
  const { move, restore } = await runningRestore(registry, restoreId, 'side-cluster');
  if (move.ageSeconds > LONGEST_SECONDS) {
    throw new SideClusterFailed({ cause: new Error(`not ready within ${LONGEST_SECONDS} s`) });
  }
  const source = restore.source ?? (await chooseSource(registry, restoreId, restore.of));
  const identifier = sideClusterOf(restoreId);
  const progress = await driveSideCluster({
    identifier,
    source: source.clusterArn,
    at: new Date(restore.at),
    subnetGroup: settings.subnetGroup,
    securityGroupIds: [settings.securityGroupId],
    parameterGroup: settings.parameterGroup,
    instanceClass: 'db.serverless',
    capacity: CAPACITY,
    tags: { 'strata:restore-id': restoreId, 'strata:tenant-id': restore.of },
  });
  if (progress.phase !== 'ready') return { done: false, passwordSet: false };
  if (!passwordSet) {
    const { password } = await readSecret(source.ownerSecret);
    return { done: false, passwordSet: await setMasterPassword(identifier, password) };
  }
  const { host, port, database, masterUsername } = progress.address;
  return {
    done: true,
    database: {
      writerHost: host,
      port,
      database,
      ownerSecret: source.ownerSecret,
      masterUsername,
      rowsOf: restore.at,
    },
  };
}

/** Chooses the tenant's current cluster and records it with the restore. */
async function chooseSource(
  registry: RegistryExecutor,
  restoreId: string,
  tenantId: string,
): Promise<SideSource> {
  const place = await findPlace(registry, tenantId);
  if (!place?.clusterArn) throw new TenantNotRestorable('The tenant has no place yet.');
  const source: SideSource = { clusterArn: place.clusterArn, ownerSecret: place.ownerSecret };
  await noteRestore(registry, restoreId, { source: { ...source } });
  return source;
}

/** @returns false if RDS cannot accept the password now: call again. */
async function setMasterPassword(identifier: string, password: string): Promise<boolean> {
  try {
    await setSideMasterPassword({ identifier }, password);
    return true;
  } catch (error) {
    // Another change of the cluster is still in progress.
    if (/^InvalidDBClusterState/.test((error as Error).name)) return false;
    throw error;
  }
}

/** The backup that reads the side cluster. */
export interface SideBackup {
  readonly backupId: string;
  readonly tenantId: string;
}

/**
 * Secures the side cluster, and records the backup that reads it; a repeated call returns the backup that is recorded.
 * It connects as the cluster's master with the owner's password, which `driveSide` has set.
 * @throws {TenantAbsentThen} the tenant was not in the cluster at that time.
 * @throws {SideClusterUnreachable} transient: RDS has not set the password yet.
 * @throws {TenantNotBackupable | MoveOvertaken | MoveAborted} and the driver's errors.
 */
export async function beginSideBackup(
  registry: Registry,
  { restoreId, executionArn }: { readonly restoreId: string; readonly executionArn: string },
  database: SideDatabase,
): Promise<SideBackup> {
  const { restore } = await runningRestore(registry, restoreId, 'side-backup');
  const tenantId = restore.of;
  await openToOwner(database);
  const placement = await asOwner(database, (owner) => secureCopy(owner, tenantId));
  if (!placement) throw new TenantAbsentThen(restore.at);
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await lockBackedUpTenant(transaction, tenantId);
    if (!tenant) throw new TenantNotRestorable('The tenant is not known.');
    const known = await backupOf(transaction, restoreId);
    if (known) return { backupId: known.backupId, tenantId };
    const backupId = randomUUID();
    await insertBackup(
      transaction,
      {
        backupId,
        tenant,
        executionArn,
        restoreId,
        startedBy: `restore:${restoreId}`,
        phase: 'begun',
      },
      { id: executionArn, type: 'workflow' },
    );
    await noteRestore(transaction, restoreId, { backupId });
    return { backupId, tenantId };
  });
}

async function openToOwner({ writerHost, port, database, ...logins }: SideDatabase): Promise<void> {
  const { password } = await readSecret(logins.ownerSecret);
  const credentials = { username: logins.masterUsername, password };
  try {
    const master = await dataConnection({ host: writerHost, port, database, credentials });
    await setOwnerPassword(master, password).finally(() => master.end());
  } catch (error) {
    if (sqlStateOf(error) === '28P01') throw new SideClusterUnreachable({ cause: error });
    throw error;
  }
}

/** The backup of a restore, if it is running or has succeeded. */
async function backupOf(
  transaction: RegistryExecutor,
  restoreId: string,
): Promise<RunningBackup | undefined> {
  const [backup] = await selectBackups(transaction, (all) =>
    all.where('b.restore_id', '=', restoreId).where('b.status', 'in', ['running', 'succeeded']),
  );
  return backup;
}

/**
 * Ends the restore's backup if it is still running, and deletes the side cluster. Call it until it is done. It may be
 * called in any state of either.
 * @throws {SideClusterTaken} the cluster does not belong to the restore.
 * @throws RDS's errors: the sweep tries again.
 */
export async function dropSide(
  registry: Registry,
  { restoreId, executionArn }: { readonly restoreId: string; readonly executionArn: string },
): Promise<{ readonly done: boolean }> {
  await registry.transaction(async (transaction) => {
    const backup = await backupOf(transaction, restoreId);
    if (backup?.status !== 'running') return;
    const reason = 'The restore that needed the backup has ended.';
    await endBackup(
      transaction,
      backup,
      { status: 'failed', reason },
      { id: executionArn, type: 'workflow' },
    );
  });
  const identifier = sideClusterOf(restoreId);
  if (await removeSideCluster({ identifier })) return { done: true };
  // The restore need not wait for the end of the deletion.
  return { done: await isSideClusterDeleting({ identifier }) };
}

/**
 * Deletes the side clusters whose restore is not running: their execution was killed, or could not delete them.
 * @returns the clusters that are being deleted.
 * @throws {AggregateError} some clusters could not be deleted; the deletion of all others has begun.
 */
export async function sweepSideClusters(registry: RegistryExecutor): Promise<string[]> {
  const swept: string[] = [];
  const failures: unknown[] = [];
  for (const identifier of await listSideClusters(SIDE_CLUSTERS)) {
    try {
      const restoreId = identifier.slice(SIDE_CLUSTERS.length);
      const move = isUuid(restoreId) ? await findMove(registry, restoreId) : undefined;
      // If the execution is dead, the recovery of moves ends the restore first; a later sweep deletes the cluster.
      if (move?.status === 'running') continue;
      await removeSideCluster({ identifier });
      swept.push(identifier);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) {
    throw new AggregateError(failures, `${failures.length} side clusters were not deleted`);
  }
  return swept;
}

interface RunningRestore {
  readonly move: MoveRecord;
  readonly restore: {
    /** RFC 3339, UTC. */
    readonly at: string;
    /** The tenant whose rows are restored. */
    readonly of: string;
    readonly source: SideSource | undefined;
  };
}

/**
 * Reads a running restore to a point in time and records its phase.
 * @throws {MoveOvertaken} the restore is not running.
 * @throws {MoveAborted} an operator has aborted the restore.
 */
export async function runningRestore(
  registry: RegistryExecutor,
  restoreId: string,
  phase: 'side-cluster' | 'side-backup',
): Promise<RunningRestore> {
  const move = await findMove(registry, restoreId);
  if (move?.status !== 'running' || move.restore === null) throw new MoveOvertaken();
  if (move.abortRequested) throw new MoveAborted();
  const restore = move.restore as unknown as Restore;
  if (restore.mode === 'undo' || restore.at === undefined) throw new MoveOvertaken();
  if (move.phase !== phase) {
    await registrySql(registry)
      .updateTable('tenant_moves')
      .set({ phase, updated_at: now })
      .where('move_id', '=', restoreId)
      .where('status', '=', 'running')
      .execute();
  }
  const of = restore.mode === 'clone' ? restore.cloneOf : move.tenantId;
  return { move, restore: { at: restore.at, of, source: restore.source } };
}
