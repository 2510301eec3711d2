import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { endBackup, findBackup, insertBackup, lockBackedUpTenant, selectBackups } from './backup-records.ts';
import { BackupInProgress, BackupNotStarted, TenantNotBackupable } from './errors.ts';
import { mayStillRun, type Probe, recoverBackup } from './recover-backups.ts';

export interface RequestBackupOptions extends Probe {
  readonly actor: AuditActor;
  readonly stateMachineArn: string;
  /** Calls `StartExecution` of `tenant-backup`. */
  readonly start: (name: string, input: object) => Promise<void>;
  /** For a request that the client may repeat. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Requests a backup of a tenant: records it with the name of its future execution, then starts the execution. A
 * repeated request returns the backup of the first one. It starts that backup's execution again while the execution has
 * not begun.
 * @returns the backup's id.
 * @throws {TenantNotBackupable | BackupInProgress} nothing was changed.
 * @throws {BackupNotStarted} the backup is recorded as failed, unless an earlier request recorded it.
 */
export async function requestBackup(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  { actor, stateMachineArn, start, once, ...probe }: RequestBackupOptions,
): Promise<string> {
  const newId = randomUUID();
  await recoverDead(registry, tenantId, probe);
  const { backupId, begun } = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await lockBackedUpTenant(transaction, tenantId);
    if (!tenant) throw new TenantNotBackupable('The tenant is not known.');
    const known = await once?.find(transaction);
    if (known) {
      const backup = await findBackup(transaction, known);
      return { backupId: known, begun: backup?.status !== 'running' || backup.phase !== 'planned' };
    }
    const [running] = await selectBackups(transaction, (all) =>
      all
        .where('b.tenant_id', '=', tenantId)
        .where('b.status', '=', 'running')
        .where('b.restore_id', 'is', null),
    );
    if (running) throw new BackupInProgress();
    await insertBackup(
      transaction,
      {
        backupId: newId,
        tenant,
        executionArn: executionArnOf(stateMachineArn, nameOf(newId)),
        startedBy: actor.id,
        phase: 'planned',
      },
      actor,
    );
    await once?.keep(transaction, newId);
    return { backupId: newId, begun: false };
  });
  if (begun) return backupId;
  try {
    await start(nameOf(backupId), { tenantId, backupId, startedBy: actor.id });
  } catch (cause) {
    // It has run and may have ended: the record has the outcome.
    if (backupId !== newId && (cause as Error).name === 'ExecutionAlreadyExists') return backupId;
    const error = new BackupNotStarted({ cause });
    // A failed start may have worked after all, so only the request that recorded the backup marks it as failed.
    if (backupId === newId) {
      await registry.transaction(async (transaction) => {
        await endBackup(
          transaction,
          { backupId, tenantId },
          { status: 'failed', reason: error.message },
          actor,
        );
        await once?.forget(transaction);
      });
    }
    throw error;
  }
  return backupId;
}

/** Ends a running backup whose execution is dead, so that the request need not wait for the next recovery. */
async function recoverDead(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  probe: Probe,
): Promise<void> {
  const [running] = await selectBackups(registry, (all) =>
    all
      .where('b.tenant_id', '=', tenantId)
      .where('b.status', '=', 'running')
      .where('b.restore_id', 'is', null),
  );
  if (running && !(await mayStillRun(running, probe))) await recoverBackup(registry, running);
}

const nameOf = (backupId: string) => `backup-${backupId}`;
