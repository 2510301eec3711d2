import { executionArnOf, inAwsRegion, startExecution, stateMachineArnOf } from '../../aws/executions.ts';
import type { Tier } from '../../contracts/tenant.ts';
import { tierTerms } from '../../contracts/tier-terms.ts';
import { followUpExecutionName } from '../../registry/moves.ts';
import type { Regions } from '../hop.ts';
import type { MoveRecord, MovingTenant } from '../move-records.ts';
import { writeMoveInput } from '../move-target.ts';

/** The follow-up move in a tenant's new region. */
export interface FollowUp {
  readonly region: string;
  readonly tier: Tier;
}

/** A Starter tenant arrives in a schema of its own, which is not its tier's place. undefined for all others. */
export function followUpOf(
  { plan }: Pick<MoveRecord, 'plan'>,
  { tier, status }: Pick<MovingTenant, 'tier' | 'status'>,
): FollowUp | undefined {
  const place = plan.at(-1)?.to;
  if (status !== 'elsewhere' || !place) return undefined;
  return place.isolationModel === tierTerms[tier].isolationModel ? undefined : { region: place.region, tier };
}

/**
 * Starts, in the tenant's new region, the follow-up move that takes it to its tier's place. If this never happens, the
 * tenant works where it is, and an operator can request the same move.
 * @param executionArn of the move that brought it: the state machine has the same name there.
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
  // `force`, because the tier stays the same whatever the tenant uses.
  const input = { tenant: tenantId, target: { tier }, force: true, moveId: undefined };
  await startExecution(there, name, writeMoveInput({ ...input, startedBy }));
  return { region, executionArn: executionArnOf(there, name) };
}
