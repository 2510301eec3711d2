import * as executions from '../aws/executions.ts';
import type { DataApi } from '../registry/data-api.ts';
import { changeOffboarding, type OffboardingRecord, selectOffboardings } from './offboarding-records.ts';
import { executionName } from './request-offboarding.ts';

type Registry = Pick<DataApi, 'transaction' | 'query'>;

export interface RecoverOptions {
  /** Recovers only the offboarding of this execution; all when absent. */
  readonly ended?: { readonly executionArn: string } | undefined;
  readonly stateMachineArn: string;
  readonly statusOf?: (executionArn: string) => Promise<executions.ExecutionStatus>;
  readonly start?: typeof executions.startExecution;
}

/** A request records its offboarding a moment before it starts the execution. */
const TIME_TO_START_SECONDS = 60;

/**
 * Continues offboardings whose executions have ended without ending them: stopped, timed out, failed in the erasure, never
 * started, or lost with a machine; or ended by a legal hold that is released. A new execution takes the record up where it is.
 * @returns the ids of those that were continued.
 * @throws {AggregateError} some could not be; all others were.
 */
export async function recoverOffboardings(
  registry: Registry,
  { ended, stateMachineArn, ...options }: RecoverOptions,
): Promise<string[]> {
  const running = await selectOffboardings(registry, (all) => {
    const live = all.where('o.status', '=', 'running');
    return ended ? live.where('o.execution_arn', '=', ended.executionArn) : live;
  });
  const recovered: string[] = [];
  const failures: unknown[] = [];
  for (const one of running) {
    try {
      // The hold is the reason why its execution has ended, or will be the reason for the next one's end.
      if (one.isHeld && one.phase === 'grace') continue;
      if (await mayStillRun(one, options)) continue;
      await restart(registry, one, { stateMachineArn, ...options });
      recovered.push(one.offboardingId);
    } catch (error) {
      // One failure must not stop the recovery of the others.
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} offboardings were not continued`);
  return recovered;
}

async function mayStillRun(
  { executionArn, idleSeconds }: OffboardingRecord,
  { statusOf = executions.executionStatus }: Pick<RecoverOptions, 'statusOf'>,
): Promise<boolean> {
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  // The record names an execution before it is started.
  return status === 'running' || (status === 'none' && idleSeconds < TIME_TO_START_SECONDS);
}

/** The record names the new execution first: of two recoveries at once, the execution of the second one finds itself overtaken. */
async function restart(
  registry: Registry,
  { offboardingId, tenantId }: OffboardingRecord,
  { stateMachineArn, start = executions.startExecution }: Pick<RecoverOptions, 'stateMachineArn' | 'start'>,
): Promise<void> {
  const name = executionName(offboardingId, Date.now().toString(36));
  await changeOffboarding(registry, offboardingId, {
    executionArn: executions.executionArnOf(stateMachineArn, name),
  });
  await start(stateMachineArn, name, { tenantId, offboardingId });
}
