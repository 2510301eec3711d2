import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type MoveDraft, overriddenLimits } from './draft-move.ts';
import { MoveInProgress } from './errors.ts';
import { type MoveInput, writeMoveInput } from './move-target.ts';

export interface NewMove {
  readonly moveId: string;
  readonly tenantId: string;
  readonly input: MoveInput;
  readonly draft: MoveDraft;
  readonly executionArn: string;
  readonly startedBy: string;
  /** `planned` until the execution has begun. */
  readonly phase: 'planned' | 'begun';
}

/** Records a running move, with its line in the audit log. @throws {MoveInProgress} the tenant has one. */
export async function insertMove(
  transaction: RegistryExecutor,
  { moveId, tenantId, input, draft, executionArn, startedBy, phase }: NewMove,
  actor: AuditActor,
): Promise<void> {
  try {
    await registrySql(transaction)
      .insertInto('tenant_moves')
      .values({
        ...{ move_id: moveId, tenant_id: tenantId, phase, input: writeMoveInput(input), plan: draft.plan },
        ...{ execution_arn: executionArn, started_by: startedBy },
      })
      .execute();
  } catch (error) {
    // Whoever comes second meets the index `one_running_move`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new MoveInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    ...{ actor, action: 'move.start', tenantId, resource: { type: 'move', id: moveId } },
    data: { target: input.target, force: input.force, overridden: overriddenLimits(draft), startedBy },
  });
}
