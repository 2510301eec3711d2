import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import { lockBackedUpTenant } from '../backups/backup-records.ts';
import { TenantNotBackupable } from '../backups/errors.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { ExportInProgress, ExportNotStarted } from './errors.ts';
import { endExport, findExport, insertExport, selectExports } from './export-records.ts';
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
 * Requests an export of a tenant: records it with the name of its future execution, then starts the execution. A
 * repeated request returns the export of the first one. It starts that export's execution again while the execution has
 * not begun.
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
  const { exportId, begun } = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await lockBackedUpTenant(transaction, tenantId);
    if (!tenant) throw new TenantNotBackupable('The tenant is not known.');
    const known = await once?.find(transaction);
    if (known) {
      const first = await findExport(transaction, known);
      return { exportId: known, begun: first?.status !== 'running' || first.phase !== 'planned' };
    }
    const [running] = await selectExports(transaction, (all) =>
      all.where('e.tenant_id', '=', tenantId).where('e.status', '=', 'running'),
    );
    if (running) throw new ExportInProgress();
    await insertExport(
      transaction,
      {
        exportId: newId,
        tenant,
        executionArn: executionArnOf(stateMachineArn, nameOf(newId)),
        startedBy: actor.id,
        backupId,
        phase: 'planned',
      },
      actor,
    );
    await once?.keep(transaction, newId);
    return { exportId: newId, begun: false };
  });
  if (begun) return exportId;
  try {
    await start(nameOf(exportId), { tenantId, exportId, startedBy: actor.id });
  } catch (cause) {
    // It has run and may have ended: the record has the outcome.
    if (exportId !== newId && (cause as Error).name === 'ExecutionAlreadyExists') return exportId;
    const error = new ExportNotStarted({ cause });
    // A failed start may have worked after all, so only the request that recorded the export marks it as failed.
    if (exportId === newId) {
      await registry.transaction(async (transaction) => {
        const end = { status: 'failed', reason: error.message } as const;
        await endExport(transaction, { exportId, tenantId }, end, actor);
        await once?.forget(transaction);
      });
    }
    throw error;
  }
  return exportId;
}

/** Ends a running export whose execution is dead, so that the request need not wait for the next recovery. */
async function recoverDead(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  tenantId: string,
  probe: Probe,
): Promise<void> {
  const [running] = await selectExports(registry, (all) =>
    all.where('e.tenant_id', '=', tenantId).where('e.status', '=', 'running'),
  );
  if (running && !(await mayStillRun(running, probe))) await recoverExport(registry, running);
}

const nameOf = (exportId: string) => `export-${exportId}`;
