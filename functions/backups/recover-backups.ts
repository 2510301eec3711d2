import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { endBackup, type RunningBackup, selectBackups } from './backup-records.ts';

export interface Probe {
  /** The state of an execution; reads it from Step Functions when absent. */
  readonly statusOf?: (executionArn: string) => Promise<executions.ExecutionStatus>;
}

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/** A request records its backup a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;
const ACTOR = { id: 'backup-recovery', type: 'system' } as const;

/** Whether an execution may still work on the backup. */
export async function mayStillRun(
  { phase, ageSeconds, executionArn }: RunningBackup,
  { statusOf = executions.executionStatus }: Probe,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'none') return phase === 'planned' && ageSeconds < TIME_TO_START_SECONDS;
  return status === 'running';
}

/**
 * Marks a backup whose execution is dead as aborted. It has no manifest, so its objects are garbage; `expire` deletes
 * them.
 * @returns whether it was running.
 */
export function recoverBackup(registry: Registry, backup: RunningBackup): Promise<boolean> {
  const end = {
    status: 'aborted',
    reason: 'The workflow of the backup ended before the backup was done.',
  } as const;
  return registry.transaction((transaction) => endBackup(transaction, backup, end, ACTOR));
}

/**
 * Ends the records of backups whose executions ended without ending the backup: stopped, timed out, never started, or
 * lost with a machine. The next backup of the tenant can begin then.
 * @param ended recovers only the backup of this execution; all backups when absent.
 * @returns the ids of the backups that were ended.
 * @throws {AggregateError} some backups could not be recovered; all others were.
 */
export async function recoverBackups(
  registry: Registry,
  { ended, ...probe }: Probe & { readonly ended?: { readonly executionArn: string } } = {},
): Promise<string[]> {
  const running = await selectBackups(registry, (all) => {
    const live = all.where('b.status', '=', 'running');
    return ended ? live.where('b.execution_arn', '=', ended.executionArn) : live;
  });
  const recovered: string[] = [];
  const failures: unknown[] = [];
  for (const backup of running) {
    try {
      if (await mayStillRun(backup, probe)) continue;
      if (await recoverBackup(registry, backup)) recovered.push(backup.backupId);
    } catch (error) {
      // One failure must not stop the recovery of the others.
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} backups were not recovered`);
  return recovered;
}
