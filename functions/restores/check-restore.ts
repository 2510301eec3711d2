/** Checks whether a tenant can be restored, and reads what its target is filled with. Nothing is changed here. */

import { BACKUP_POLICY } from '../contracts/backup-policy.ts';
import { auditLog, auditSeals } from '../database/tables/operations-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import { type Filling, keptIn } from '../moves/hop.ts';
import {
  findMove,
  findMovingTenant,
  hopsOf,
  isSettled,
  type MovingTenant,
  otherMovesOf,
} from '../moves/move-records.ts';
import { findPlace, type Location, tablesVersionOf } from '../places/place.ts';
import { pointInTimeWindow } from '../registry/backups.ts';
import { areCredentialsRotating } from '../registry/credential-rotations.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import {
  BackupTablesNewer,
  RolloutInProgress,
  TenantNotRestorable,
  TimeOutsideWindow,
  UndoImpossible,
} from './errors.ts';
import { backupOfRestore, fillingHop, findRestorable, type Restore } from './restore-records.ts';

/** Tables that a restore does not replace: the record of all actions, and its proof, must survive. */
const STAYS: readonly string[] = [auditLog.name, auditSeals.name];

/**
 * Reads the tenant with an id or slug and locks its row until the transaction ends, which serializes restores and
 * moves.
 * @throws {TenantNotRestorable} the tenant does not exist in this region.
 */
export async function lockRestorable(
  transaction: RegistryExecutor,
  reference: string,
): Promise<MovingTenant> {
  const tenant = await findMovingTenant(transaction, reference, { lock: true });
  if (!tenant) throw new TenantNotRestorable('The tenant is not known.');
  return tenant;
}

/**
 * Checks a request.
 * @throws {BackupUnknown | TimeOutsideWindow | TenantNotRestorable | RolloutInProgress | UndoImpossible |
 *   BackupTablesNewer} the first of these that applies.
 */
export async function checkRestore(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  restore: Restore,
): Promise<void> {
  if (restore.mode === 'undo' || restore.at === undefined) await fillingOf(transaction, tenant, restore);
  else await checkTime(transaction, restore.mode === 'clone' ? restore.cloneOf : tenant.tenantId, restore.at);
  // The new tenant of a clone has no place yet.
  if (restore.mode === 'clone') return;
  locationOf(tenant);
  await refuseDuringOthers(transaction, tenant.tenantId);
  if (await areCredentialsRotating(transaction, tenant.tenantId, [tenant.location?.cellId])) {
    throw new TenantNotRestorable(
      'Database credentials that the restore depends on are being replaced. Try again later.',
    );
  }
}

/**
 * Checks that a tenant can be restored to a time.
 * @param at RFC 3339.
 * @throws {TimeOutsideWindow}
 * @throws {TenantNotRestorable} the tenant's tier has no point-in-time restore, or the tenant has no place in this
 *   region.
 */
export async function checkTime(registry: RegistryExecutor, tenantId: string, at: string): Promise<void> {
  const tenant = await findMovingTenant(registry, tenantId);
  if (!tenant) throw new TenantNotRestorable('The tenant is not known.');
  const { tier } = tenant;
  if (!BACKUP_POLICY[tier].pointInTime) {
    throw new TenantNotRestorable(`Tenants of tier ${tier} have daily backups only: give a backupId.`);
  }
  locationOf(tenant);
  const window = await pointInTimeWindow(registry, { tenantId, tier });
  if (!window) throw new TenantNotRestorable('The tenant has no place yet.');
  const time = Date.parse(at);
  if (!(time >= Date.parse(window.from) && time <= Date.parse(window.to)))
    throw new TimeOutsideWindow(window);
}

/**
 * The tenant's place.
 * @throws {TenantNotRestorable} the tenant has no place in this region, or is neither active nor suspended.
 */
export function locationOf({ status, location }: MovingTenant): Location {
  if (status === 'elsewhere') {
    throw new TenantNotRestorable('The tenant lives in another region. Restore it there.');
  }
  // A suspended tenant can be restored, so that its data is correct before it is reactivated.
  if (status !== 'active' && status !== 'suspended') {
    throw new TenantNotRestorable(`The tenant is ${status}.`);
  }
  if (!location) throw new TenantNotRestorable('The tenant has no place yet.');
  return location;
}

async function refuseDuringOthers(transaction: RegistryExecutor, tenantId: string): Promise<void> {
  const { moving, differs } = await otherMovesOf(transaction, tenantId);
  if (moving) throw new TenantNotRestorable('The tenant is being moved or restored already.');
  if (differs) {
    throw new TenantNotRestorable(
      'An earlier move of the tenant found differences, which an operator has to resolve first.',
    );
  }
  const rolling = await registrySql(transaction)
    .selectFrom('schema_rollouts')
    .select('rollout_id')
    .where('status', '=', 'running')
    .executeTakeFirst();
  if (rolling) throw new RolloutInProgress();
}

/**
 * The source of the rows that fill the target of the restore's first hop.
 * @throws {BackupUnknown | BackupTablesNewer | TenantNotRestorable | UndoImpossible}
 */
export async function fillingOf(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  restore: Restore,
): Promise<Filling> {
  if (restore.mode === 'undo') return fillingOfUndo(transaction, tenant, restore.undoes);
  const owner = restore.mode === 'clone' ? restore.cloneOf : tenant.tenantId;
  const { backupId, schemaVersion, region } = await findRestorable(
    transaction,
    owner,
    backupOfRestore(restore),
  );
  if (tenant.location && region !== tenant.location.region) {
    throw new TenantNotRestorable(
      `The backup is in region ${region}, but the tenant is in region ${tenant.location.region}.`,
    );
  }
  if (schemaVersion > TENANT_SCHEMA_VERSION) {
    throw new BackupTablesNewer(schemaVersion, TENANT_SCHEMA_VERSION);
  }
  // The new tenant of a clone has no audit log yet, nor has a tenant whose rows are lost, because it was not served since:
  // they take over the log of the backup.
  const hasNoLog = restore.mode === 'clone' || tenant.restoreFrom !== undefined;
  const carried = hasNoLog ? [] : STAYS;
  const mask = restore.mode === 'clone' && restore.mask;
  return { from: 'backup', backupId, tenantId: owner, schemaVersion, carried, mask };
}

/**
 * An undo takes the rows from the schema that keeps what the earlier restore replaced. It is possible while that schema
 * exists and the tenant was neither moved nor restored since.
 */
async function fillingOfUndo(
  transaction: RegistryExecutor,
  { tenantId }: MovingTenant,
  restoreId: string,
): Promise<Filling> {
  const restore = await findMove(transaction, restoreId);
  if (restore?.tenantId !== tenantId || restore.restore === null) {
    throw new UndoImpossible('The tenant has no such restore.');
  }
  if (restore.restore.mode === 'clone') {
    throw new UndoImpossible('The tenant is a clone: it had no rows before.');
  }
  const hops = await hopsOf(transaction, restoreId);
  const hop = fillingHop(hops);
  const schemaName = hop && keptIn(hop);
  if (!hop || schemaName === undefined || !isSettled(hop)) {
    throw new UndoImpossible('The restore replaced no rows.');
  }
  if (hop.state === 'cleaned') {
    throw new UndoImpossible('The replaced rows are not kept any more: the grace period has ended.');
  }
  const last = hops.findLast(isSettled);
  const place = await findPlace(transaction, tenantId);
  if (place?.epoch !== last?.target.epoch) {
    throw new UndoImpossible('The tenant was moved or restored after that restore.');
  }
  return { from: 'schema', schemaName, schemaVersion: tablesVersionOf(hop.target), carried: STAYS };
}
