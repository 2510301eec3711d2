import { randomUUID } from 'node:crypto';
import type { DataApi } from '../registry/data-api.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { readBackupInput } from './backup-input.ts';
import {
  findRunningBackup,
  insertBackup,
  lockBackedUpTenant,
  type RunningBackup,
  selectBackups,
  setBegun,
} from './backup-records.ts';
import { BackupDuringMove, BackupInProgress, BackupOvertaken, InvalidBackupInput } from './errors.ts';
import { mayStillRun, type Probe, recoverBackup } from './recover-backups.ts';

/** The backup that an execution works on. */
export interface BegunBackup {
  readonly backupId: string;
  readonly tenantId: string;
}

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/**
 * The first phase of an execution. It continues the backup that the request, or an earlier run of this phase, has
 * recorded under the execution's name; otherwise it records the backup. If the tenant has a running backup whose
 * execution is dead, it marks that one as aborted first.
 * @throws {InvalidBackupInput | TenantNotBackupable | BackupInProgress} nothing was changed.
 * @throws {BackupOvertaken} the execution's backup was ended by its starter or by recovery.
 * @throws {BackupDuringMove} the backup is recorded and waits for the end of the tenant's move: call again.
 */
export async function beginBackup(
  registry: Registry,
  input: unknown,
  executionArn: string,
  probe: Probe = {},
): Promise<BegunBackup> {
  const { tenant: reference, startedBy } = readBackupInput(input);
  for (;;) {
    const found = await registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      const tenant = await lockBackedUpTenant(transaction, reference);
      if (!tenant) throw new InvalidBackupInput([{ path: 'tenantId', message: 'names no tenant' }]);
      const { tenantId } = tenant;
      const [own] = await selectBackups(transaction, (all) =>
        all.where('b.execution_arn', '=', executionArn),
      );
      if (own) {
        if (own.status === 'running') await setBegun(transaction, own.backupId, tenant);
        else if (own.status !== 'succeeded') throw new BackupOvertaken();
        return { begun: { backupId: own.backupId, tenantId }, waits: tenant.isMoving && isUnplanned(own) };
      }
      const running = await findRunningBackup(transaction, tenantId);
      if (running) return { running };
      const backupId = randomUUID();
      await insertBackup(
        transaction,
        {
          backupId,
          tenant,
          executionArn,
          startedBy: startedBy ?? executionArn,
          phase: tenant.isMoving ? 'waiting' : 'begun',
        },
        { id: executionArn, type: 'workflow' },
      );
      return { begun: { backupId, tenantId }, waits: tenant.isMoving };
    });
    if (found.begun) {
      if (found.waits) throw new BackupDuringMove();
      return found.begun;
    }
    if (await mayStillRun(found.running, probe)) throw new BackupInProgress();
    await recoverBackup(registry, found.running);
  }
}

const isUnplanned = ({ phase }: RunningBackup) => phase === 'planned' || phase === 'waiting';
