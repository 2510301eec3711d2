import { onwardExecutionName } from '../../database/registry/onward-move.ts';
import type { FinishedMove } from '../finish-move.ts';
import { writeMoveInput } from '../move-target.ts';
import type { Regions } from '../regions.ts';
import { executionArnOf, inAwsRegion, startExecution, stateMachineArnOf } from '../workflow-executions.ts';

/**
 * Starts, in the region that a tenant has come to, the move that brings it where its tier belongs. Should this never be
 * done, the tenant lives well where it is, and the same move can be asked for.
 * @param executionArn of the move that has finished: the state machine has the same name there.
 * @returns the execution there; undefined where nothing is left to do. @throws Step Functions' errors.
 */
export async function goOnward(
  regions: Regions,
  { moveId, tenantId, report, onward }: FinishedMove,
  executionArn: string,
): Promise<{ readonly region: string; readonly executionArn: string } | undefined> {
  if (!onward) return undefined;
  const { region, tier } = onward;
  const name = onwardExecutionName(moveId);
  const there = inAwsRegion(stateMachineArnOf(executionArn), regions.awsRegionOf(region));
  // What it has bought, whatever it uses of it.
  const input = { tenant: tenantId, target: { tier }, force: true, moveId: undefined };
  try {
    await startExecution(there, name, writeMoveInput({ ...input, startedBy: report.startedBy }));
  } catch (error) {
    // It has run already. While it runs, the same start is simply accepted.
    if ((error as Error).name !== 'ExecutionAlreadyExists') throw error;
  }
  return { region, executionArn: executionArnOf(there, name) };
}
