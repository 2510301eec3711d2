import { inAwsRegion, startExecution } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { SurveyOf } from './move-rules.ts';
import { requestMove } from './request-move.ts';

/**
 * Starts the move to a tier, within its limits, by the state machine that MOVE_STATE_MACHINE_ARN names, or by the one
 * of that name in `awsRegion`.
 * @returns the move's id.
 * @throws {MoveError} it cannot start.
 */
export function startTierMove(
  registry: DataApi,
  { tenantId, targetTier }: { tenantId: string; targetTier: 'business' | 'enterprise' },
  {
    actor,
    startedBy,
    awsRegion,
    survey,
  }: { actor: AuditActor; startedBy: string; awsRegion?: string | undefined; survey?: SurveyOf },
): Promise<string> {
  const { MOVE_STATE_MACHINE_ARN } = process.env;
  if (!MOVE_STATE_MACHINE_ARN) throw new Error('environment variable MOVE_STATE_MACHINE_ARN is missing');
  const stateMachineArn = inAwsRegion(MOVE_STATE_MACHINE_ARN, awsRegion);
  return requestMove(
    registry,
    { tenantId, target: { tier: targetTier }, force: false },
    {
      ...{ actor, startedBy, stateMachineArn, survey },
      start: (name, input) => startExecution(stateMachineArn, name, input),
    },
  );
}
