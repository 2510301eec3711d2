import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { endBackup, type RunningBackup, selectBackups } from './backup-records.ts';

/** How one learns what has become of an execution; Step Functions is asked when absent. */
export interface Probe {
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
 * Marks a backup whose execution is dead. It has no manifest, so its objects are garbage, which `expire` deletes.
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
 * Ends the records of backups whose executions ended without them: stopped, timed out, never started, or gone with a
 * machine. The tenant is free for the next backup then.
 * @param ended only what this execution had begun; everything when absent.
 * @returns the ids of those that were ended.
 * @throws {AggregateError} some could not be looked at; the others were.
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
      // The others are recovered all the same.
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} backups were not recovered`);
  return recovered;
}
