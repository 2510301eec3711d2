import { executionArnOf, inAwsRegion, startExecution, stateMachineArnOf } from '../../aws/executions.ts';
import type { Tier } from '../../contracts/tenant.ts';
import { tierTerms } from '../../contracts/tier-terms.ts';
import { followUpExecutionName } from '../../registry/moves.ts';
import type { Regions } from '../hop.ts';
import type { MoveRecord, MovingTenant } from '../move-records.ts';
import { writeMoveInput } from '../move-target.ts';

/** What the region that a tenant has come to still has to do. */
export interface FollowUp {
  readonly region: string;
  readonly tier: Tier;
}

/** A Starter tenant has come in a schema of its own, which is not what it has bought. Undefined for all others. */
export function followUpOf(
  { plan }: Pick<MoveRecord, 'plan'>,
  { tier, status }: Pick<MovingTenant, 'tier' | 'status'>,
): FollowUp | undefined {
  const place = plan.at(-1)?.to;
  if (status !== 'elsewhere' || !place) return undefined;
  return place.isolationModel === tierTerms[tier].isolationModel ? undefined : { region: place.region, tier };
}

/**
 * Starts, in the region that a tenant has come to, the move that brings it where its tier belongs. Should this never be
 * done, the tenant lives well where it is, and the same move can be asked for.
 * @param executionArn of the move that has brought it: the state machine has the same name there.
 * @returns the execution there, which runs or has run already. @throws Step Functions' errors.
 */
export async function startFollowUp(
  regions: Regions,
  { moveId, tenantId, startedBy }: Pick<MoveRecord, 'moveId' | 'tenantId' | 'startedBy'>,
  { region, tier }: FollowUp,
  executionArn: string,
): Promise<{ readonly region: string; readonly executionArn: string }> {
  const name = followUpExecutionName(moveId);
  const there = inAwsRegion(stateMachineArnOf(executionArn), regions.awsRegionOf(region));
  // What it has bought, whatever it uses of it.
  const input = { tenant: tenantId, target: { tier }, force: true, moveId: undefined };
  try {
    await startExecution(there, name, writeMoveInput({ ...input, startedBy }));
  } catch (error) {
    // It has run already. While it runs, the same start is simply accepted.
    if ((error as Error).name !== 'ExecutionAlreadyExists') throw error;
  }
  return { region, executionArn: executionArnOf(there, name) };
}
