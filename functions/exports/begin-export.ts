import { randomUUID } from 'node:crypto';
import { lockBackedUpTenant } from '../backups/backup-records.ts';
import type { DataApi } from '../registry/data-api.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { ExportInProgress, ExportOvertaken, InvalidExportInput } from './errors.ts';
import { readExportInput } from './export-input.ts';
import { findRunningExport, insertExport, selectExports, setPhase } from './export-records.ts';
import { mayStillRun, type Probe, recoverExport } from './recover-exports.ts';

/** The export that an execution works on. */
export interface BegunExport {
  readonly exportId: string;
  readonly tenantId: string;
}

/**
 * The first phase of an execution. It continues the export that the request, or an earlier run of this phase, has
 * recorded under the execution's name; otherwise it records the export. If the tenant has a running export whose
 * execution is dead, it marks that one as aborted first.
 * @throws {InvalidExportInput | TenantNotBackupable | ExportInProgress | ExportSourceUnknown} nothing was changed.
 * @throws {ExportOvertaken} the execution's export was ended by its starter or by recovery.
 */
export async function beginExport(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  input: unknown,
  executionArn: string,
  probe: Probe = {},
): Promise<BegunExport> {
  const { tenant: reference, backupId, startedBy } = readExportInput(input);
  for (;;) {
    const found = await registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      const tenant = await lockBackedUpTenant(transaction, reference);
      if (!tenant) throw new InvalidExportInput([{ path: 'tenantId', message: 'names no tenant' }]);
      const { tenantId } = tenant;
      const [own] = await selectExports(transaction, (all) =>
        all.where('e.execution_arn', '=', executionArn),
      );
      if (own) {
        if (own.status !== 'running' && own.status !== 'succeeded') throw new ExportOvertaken();
        if (own.phase === 'planned') await setPhase(transaction, own.exportId, { phase: 'begun' });
        return { begun: { exportId: own.exportId, tenantId } };
      }
      const running = await findRunningExport(transaction, tenantId);
      if (running) return { running };
      const exportId = randomUUID();
      await insertExport(
        transaction,
        {
          exportId,
          tenant,
          executionArn,
          startedBy: startedBy ?? executionArn,
          backupId,
          phase: 'begun',
        },
        { id: executionArn, type: 'workflow' },
      );
      return { begun: { exportId, tenantId } };
    });
    if (found.begun) return found.begun;
    if (await mayStillRun(found.running, probe)) throw new ExportInProgress();
    await recoverExport(registry, found.running);
  }
}
