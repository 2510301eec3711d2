import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import { recordEnd } from '../moves/end-move.ts';
import { findMove } from '../moves/move-records.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import { checkRestore, lockRestorable } from './check-restore.ts';
import { RestoreNotStarted } from './errors.ts';
import { insertRestore, type Restore } from './restore-records.ts';

export interface RequestRestoreOptions {
  readonly actor: AuditActor;
  /** ARN of `tenant-restore`. */
  readonly stateMachineArn: string;
  /** Calls `StartExecution` of `tenant-restore`. */
  readonly start: (name: string, input: object) => Promise<void>;
  /** For a request that the client may repeat. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Requests a restore.
 * @param tenantId the tenant to restore; for a clone, the new tenant, which is being onboarded.
 * @returns the restore's id.
 * @throws {BackupUnknown | TenantNotRestorable | RolloutInProgress | UndoImpossible | BackupTablesNewer} nothing was
 *   changed.
 * @throws {RestoreNotStarted} the restore is recorded as failed, unless an earlier request recorded it.
 */
export async function requestRestore(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  restore: Restore,
  { actor, stateMachineArn, start, once }: RequestRestoreOptions,
): Promise<string> {
  const newId = randomUUID();
  return recordAndStart(registry, once, {
    newId,
    lock: (transaction) => lockRestorable(transaction, tenantId),
    find: findMove,
    record: async (transaction, tenant) => {
      await checkRestore(transaction, tenant, restore);
      const executionArn = executionArnOf(stateMachineArn, nameOf(newId));
      await insertRestore(
        transaction,
        { restoreId: newId, tenantId, restore, executionArn, startedBy: actor.id, phase: 'planned' },
        actor,
      );
    },
    start: (restoreId) => start(nameOf(restoreId), { tenantId, restoreId, startedBy: actor.id }),
    notStarted: (options) => new RestoreNotStarted(options),
    giveUp: (transaction, reason) =>
      recordEnd(transaction, { moveId: newId, tenantId }, { status: 'failed', reason }, actor),
  });
}

const nameOf = (restoreId: string) => `restore-${restoreId}`;
