import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import { requireBackedUpTenant } from '../backups/backup-records.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import { ExportInProgress, ExportNotStarted } from './errors.ts';
import { endExport, findExport, findRunningExport, insertExport } from './export-records.ts';
import { mayStillRun, type Probe, recoverExport } from './recover-exports.ts';

export interface RequestExportOptions extends Probe {
  readonly actor: AuditActor;
  readonly stateMachineArn: string;
  /** Calls `StartExecution` of `tenant-export`. */
  readonly start: (name: string, input: object) => Promise<void>;
  /** The succeeded backup to export; if undefined, the export makes a new backup. */
  readonly backupId?: string | undefined;
  /** For a request that the client may repeat. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Requests an export of a tenant.
 * @returns the export's id.
 * @throws {TenantNotBackupable | ExportInProgress | ExportSourceUnknown} nothing was changed.
 * @throws {ExportNotStarted} the export is recorded as failed, unless an earlier request recorded it.
 */
export async function requestExport(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  { actor, stateMachineArn, start, backupId, once, ...probe }: RequestExportOptions,
): Promise<string> {
  const newId = randomUUID();
  await recoverDead(registry, tenantId, probe);
  return recordAndStart(registry, once, {
    newId,
    lock: (transaction) => requireBackedUpTenant(transaction, tenantId),
    find: findExport,
    record: async (transaction, tenant) => {
      if (await findRunningExport(transaction, tenantId)) throw new ExportInProgress();
      const executionArn = executionArnOf(stateMachineArn, nameOf(newId));
      await insertExport(
        transaction,
        { exportId: newId, tenant, executionArn, startedBy: actor.id, backupId, phase: 'planned' },
        actor,
      );
    },
    start: (exportId) => start(nameOf(exportId), { tenantId, exportId, startedBy: actor.id }),
    notStarted: (options) => new ExportNotStarted(options),
    giveUp: async (transaction, reason) => {
      await endExport(transaction, { exportId: newId, tenantId }, { status: 'failed', reason }, actor);
    },
  });
}

/** Ends a running export whose execution is dead, so that the request need not wait for the next recovery. */
async function recoverDead(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  probe: Probe,
): Promise<void> {
  const running = await findRunningExport(registry, tenantId);
  if (running && !(await mayStillRun(running, probe))) await recoverExport(registry, running);
}

const nameOf = (exportId: string) => `export-${exportId}`;
