import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import {
  endBackup,
  findBackup,
  findRunningBackup,
  insertBackup,
  requireBackedUpTenant,
} from './backup-records.ts';
import { BackupInProgress, BackupNotStarted } from './errors.ts';
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
 * Requests a backup of a tenant.
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
  return recordAndStart(registry, once, {
    newId,
    lock: (transaction) => requireBackedUpTenant(transaction, tenantId),
    find: findBackup,
    record: async (transaction, tenant) => {
      if (await findRunningBackup(transaction, tenantId)) throw new BackupInProgress();
      const executionArn = executionArnOf(stateMachineArn, nameOf(newId));
      await insertBackup(
        transaction,
        { backupId: newId, tenant, executionArn, startedBy: actor.id, phase: 'planned' },
        actor,
      );
    },
    start: (backupId) => start(nameOf(backupId), { tenantId, backupId, startedBy: actor.id }),
    notStarted: (options) => new BackupNotStarted(options),
    giveUp: async (transaction, reason) => {
      await endBackup(transaction, { backupId: newId, tenantId }, { status: 'failed', reason }, actor);
    },
  });
}

/** Ends a running backup whose execution is dead, so that the request need not wait for the next recovery. */
async function recoverDead(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  probe: Probe,
): Promise<void> {
  const running = await findRunningBackup(registry, tenantId);
  if (running && !(await mayStillRun(running, probe))) await recoverBackup(registry, running);
}

const nameOf = (backupId: string) => `backup-${backupId}`;
