import { randomUUID } from 'node:crypto';
import type { ObjectStore } from '../aws/object-store.ts';
import { type BackupManifest, readManifest } from '../backups/manifest.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import { MoveOvertaken } from '../moves/errors.ts';
import { findMove, findMovingTenant, type MoveRecord, selectMoves } from '../moves/move-records.ts';
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { checkRestore, fillingOf, locationOf, lockRestorable } from './check-restore.ts';
import { BackupTablesNewer, CloneNotOnboarded, InvalidRestoreInput, TenantNotRestorable } from './errors.ts';
import { readRestoreInput } from './restore-input.ts';
import {
  backupOfRestore,
  findRestorable,
  insertRestore,
  planRestore,
  type Restore,
  setPlan,
} from './restore-records.ts';

/** The restore that an execution works on: a move, by its id. */
export interface BegunRestore {
  readonly moveId: string;
  readonly tenantId: string;
  /** The restore makes a backup of a past time first. */
  readonly pointInTime: boolean;
}

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/**
 * The first phase of an execution. It continues the restore that the request, or an earlier run of this phase, has
 * recorded under the execution's name; otherwise it records the restore.
 * @throws {InvalidRestoreInput | BackupUnknown | TimeOutsideWindow | TenantNotRestorable | RolloutInProgress} nothing
 *   was changed.
 * @throws {MoveOvertaken} the execution's restore was ended by its starter or by recovery.
 */
export async function beginRestore(
  registry: Registry,
  input: unknown,
  executionArn: string,
): Promise<BegunRestore> {
  const { tenant: reference, backupId, at, restoreId: requested, startedBy } = readRestoreInput(input);
  const known = await takeUp(registry, executionArn);
  if (known) return known;
  if (requested !== undefined) {
    throw new InvalidRestoreInput([{ path: 'restoreId', message: 'names no restore of this execution' }]);
  }
  const named = await findMovingTenant(registry, reference);
  if (!named) throw new InvalidRestoreInput([{ path: 'tenantId', message: 'names no tenant' }]);
  const { tenantId } = named;
  const [running] = await selectMoves(registry, (moves) =>
    moves.where('m.tenant_id', '=', tenantId).where('m.status', '=', 'running'),
  );
  // If its execution is dead, recovery ends that move or restore within minutes.
  if (running) {
    throw new TenantNotRestorable('The tenant is being moved or restored already.');
  }
  const restoreId = randomUUID();
  const restore: Restore =
    at === undefined ? { mode: 'replace', backupId: backupId! } : { mode: 'replace', at };
  await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    await checkRestore(transaction, await lockRestorable(transaction, tenantId), restore);
    await insertRestore(
      transaction,
      {
        restoreId,
        tenantId,
        restore,
        executionArn,
        startedBy: startedBy ?? executionArn,
        phase: 'begun',
      },
      { id: executionArn, type: 'workflow' },
    );
  });
  return { moveId: restoreId, tenantId, pointInTime: at !== undefined };
}

async function takeUp(registry: Registry, executionArn: string): Promise<BegunRestore | undefined> {
  const [own] = await selectMoves(registry, (moves) => moves.where('m.execution_arn', '=', executionArn));
  if (!own) return undefined;
  const { moveId, tenantId, status, restore } = own;
  if (status !== 'running' && status !== 'succeeded') throw new MoveOvertaken();
  await registrySql(registry)
    .updateTable('tenant_moves')
    .set({ phase: 'begun', updated_at: now })
    .where('move_id', '=', moveId)
    .where('status', '=', 'running')
    .where('phase', '=', 'planned')
    .execute();
  return { moveId, tenantId, pointInTime: restore?.at !== undefined };
}

/**
 * Plans the hops of the restore from the tenant's current place. Does nothing if the restore has a plan. For a clone,
 * it waits until the new tenant is onboarded.
 * @param store the bucket of the backup.
 * @returns `done: false` if the new tenant is not onboarded yet: call again later.
 * @throws {CloneNotOnboarded}
 * @throws the errors of {@link checkRestore} and `readManifest`.
 */
export async function makePlan(
  registry: Registry,
  { moveId, tenantId }: Omit<BegunRestore, 'pointInTime'>,
  store: ObjectStore,
): Promise<{ readonly done: boolean }> {
  // Read before the transaction, because S3 may be slow. The manifest has the schema version of the backup's tables;
  // the registry has the version of the tenant's tables at the begin of the backup.
  const manifest = await manifestOf(registry, await findMove(registry, moveId), store);
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await lockRestorable(transaction, tenantId);
    const move = await findMove(transaction, moveId, { lock: true });
    if (move?.status !== 'running' || move.restore === null) throw new MoveOvertaken();
    if (move.plan.length > 0) return { done: true };
    const restore = move.restore as unknown as Restore;
    if (restore.mode === 'clone') {
      if (tenant.status === 'provisioning') return { done: false };
      // Suspended until it has its rows; an operator may have made it active.
      if (tenant.status !== 'active' && tenant.status !== 'suspended')
        throw new CloneNotOnboarded(tenant.reason ?? '');
    }
    const { schemaVersion, ...filling } = await fillingOf(transaction, tenant, restore);
    const version = manifest?.schemaVersion ?? schemaVersion;
    if (version > TENANT_SCHEMA_VERSION) throw new BackupTablesNewer(version, TENANT_SCHEMA_VERSION);
    const { isolationModel: home } = tierTerms[tenant.tier];
    const plan = planRestore(locationOf(tenant), { ...filling, schemaVersion: version }, home);
    await setPlan(transaction, moveId, plan);
    return { done: true };
  });
}

/** The manifest of the restored backup; undefined for an undo, and for a restore that has its plan. */
async function manifestOf(
  registry: Registry,
  move: MoveRecord | undefined,
  store: ObjectStore,
): Promise<BackupManifest | undefined> {
  if (move?.status !== 'running' || move.restore === null) throw new MoveOvertaken();
  const restore = move.restore as unknown as Restore;
  if (restore.mode === 'undo' || move.plan.length > 0) return undefined;
  const owner = restore.mode === 'clone' ? restore.cloneOf : move.tenantId;
  return readManifest(store, await findRestorable(registry, owner, backupOfRestore(restore)));
}
