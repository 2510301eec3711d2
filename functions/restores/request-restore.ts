import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import { recordEnd } from '../moves/end-move.ts';
import { findMove } from '../moves/move-records.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
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
 * Requests a restore: records it with the name of its future execution, then starts the execution. A repeated request
 * returns the restore of the first one. It starts that restore's execution again while the execution has not begun.
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
  const { restoreId, begun } = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await lockRestorable(transaction, tenantId);
    const known = await once?.find(transaction);
    if (known) {
      const recorded = await findMove(transaction, known);
      return { restoreId: known, begun: recorded?.status !== 'running' || recorded.phase !== 'planned' };
    }
    await checkRestore(transaction, tenant, restore);
    await insertRestore(
      transaction,
      {
        restoreId: newId,
        tenantId,
        restore,
        executionArn: executionArnOf(stateMachineArn, nameOf(newId)),
        startedBy: actor.id,
        phase: 'planned',
      },
      actor,
    );
    await once?.keep(transaction, newId);
    return { restoreId: newId, begun: false };
  });
  if (begun) return restoreId;
  try {
    await start(nameOf(restoreId), { tenantId, restoreId, startedBy: actor.id });
  } catch (cause) {
    // It has run and may have ended: the record has the outcome.
    if (restoreId !== newId && (cause as Error).name === 'ExecutionAlreadyExists') return restoreId;
    const error = new RestoreNotStarted({ cause });
    // A failed start may have worked after all, so only the request that recorded the restore marks it as failed.
    if (restoreId === newId) {
      await registry.transaction(async (transaction) => {
        await recordEnd(
          transaction,
          { moveId: restoreId, tenantId },
          { status: 'failed', reason: error.message },
          actor,
        );
        await once?.forget(transaction);
      });
    }
    throw error;
  }
  return restoreId;
}

const nameOf = (restoreId: string) => `restore-${restoreId}`;
