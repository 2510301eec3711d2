import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { type ExportRecord, endExport, selectExports } from './export-records.ts';

export interface Probe {
  /** The state of an execution; reads it from Step Functions when absent. */
  readonly statusOf?: (executionArn: string) => Promise<executions.ExecutionStatus>;
}

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/** A request records its export a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;
const ACTOR = { id: 'export-recovery', type: 'system' } as const;

/** Whether an execution may still work on the export. */
export async function mayStillRun(
  { phase, ageSeconds, executionArn }: ExportRecord,
  { statusOf = executions.executionStatus }: Probe,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'none') return phase === 'planned' && ageSeconds < TIME_TO_START_SECONDS;
  return status === 'running';
}

/**
 * Marks an export whose execution is dead as aborted. `expireExports` deletes its objects.
 * @returns whether it was running.
 */
export function recoverExport(registry: Registry, dead: ExportRecord): Promise<boolean> {
  const end = {
    status: 'aborted',
    reason: 'The workflow of the export ended before the export was done.',
  } as const;
  return registry.transaction((transaction) => endExport(transaction, dead, end, ACTOR));
}

/**
 * Ends the records of exports whose executions ended without ending the export: stopped, timed out, never started, or
 * lost with a machine. The next export of the tenant can begin then.
 * @param ended recovers only the export of this execution; all exports when absent.
 * @returns the ids of the exports that were ended.
 * @throws {AggregateError} some exports could not be recovered; all others were.
 */
export async function recoverExports(
  registry: Registry,
  { ended, ...probe }: Probe & { readonly ended?: { readonly executionArn: string } } = {},
): Promise<string[]> {
  const running = await selectExports(registry, (all) => {
    const live = all.where('e.status', '=', 'running');
    return ended ? live.where('e.execution_arn', '=', ended.executionArn) : live;
  });
  const recovered: string[] = [];
  const failures: unknown[] = [];
  for (const one of running) {
    try {
      if (await mayStillRun(one, probe)) continue;
      if (await recoverExport(registry, one)) recovered.push(one.exportId);
    } catch (error) {
      // One failure must not stop the recovery of the others.
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} exports were not recovered`);
  return recovered;
}
