import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { type ExportRecord, endExport, selectExports } from './export-records.ts';

/** How the fate of an execution is found out; Step Functions answers when absent. */
export interface Probe {
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

/** Marks an export whose execution is dead. `expireExports` deletes its objects. @returns whether it was running. */
export function recoverExport(registry: Registry, dead: ExportRecord): Promise<boolean> {
  const end = {
    status: 'aborted',
    reason: 'The workflow of the export ended before the export was done.',
  } as const;
  return registry.transaction((transaction) => endExport(transaction, dead, end, ACTOR));
}

/**
 * Ends the records of exports whose executions ended without them: stopped, timed out, never started, or lost with a
 * machine. The tenant is free for the next export then.
 * @param ended only what this execution had begun; everything when absent.
 * @returns the ids of those that were ended.
 * @throws {AggregateError} the state of some could not be read; the others were ended.
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
      // The others are recovered all the same.
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} exports were not recovered`);
  return recovered;
}
