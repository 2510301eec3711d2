import type { AuditActor } from '../database/registry/control-audit.ts';
import type { DataApi } from '../database/registry/data-api.ts';
import { requestMove } from '../move/request-move.ts';
import { startExecution } from '../move/workflow-executions.ts';

/**
 * Starts the move to a tier, within its limits, by the state machine that MOVE_STATE_MACHINE_ARN names.
 * @returns the move's id.
 * @throws {MoveError} it cannot start.
 */
export function startTierMove(
  registry: DataApi,
  { tenantId, targetTier }: { tenantId: string; targetTier: 'business' | 'enterprise' },
  { actor, startedBy }: { actor: AuditActor; startedBy: string },
): Promise<string> {
  const stateMachineArn = process.env.MOVE_STATE_MACHINE_ARN;
  if (!stateMachineArn) throw new Error('environment variable MOVE_STATE_MACHINE_ARN is missing');
  return requestMove(
    registry,
    { tenantId, target: { tier: targetTier }, force: false },
    {
      ...{ actor, startedBy, stateMachineArn },
      start: (name, input) => startExecution(stateMachineArn, name, input),
    },
  );
}
