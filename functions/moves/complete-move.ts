import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import { type FinishedMove, finishMove } from './finish-move.ts';
import type { MoveRecord } from './move-records.ts';
import { findMovingTenant } from './moving-tenant.ts';
import { goOnward, onwardOf } from './other-region/go-onward.ts';
import type { Regions } from './regions.ts';

/** What an execution ends with: where the tenant goes on, in the region it has come to, the execution there is named. */
export type CompletedMove = Omit<FinishedMove, 'onward'> & {
  readonly onward?: Awaited<ReturnType<typeof goOnward>>;
};

/**
 * Ends a move whose hops are all settled, whoever finds it so. What is left for another region is started before the end
 * is told: afterwards nobody would come back for it. Repeating it changes nothing.
 * @param actor as of `finishMove`.
 * @throws what `finishMove` throws, and Step Functions' errors.
 */
export async function completeMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  move: MoveRecord,
  regions: Regions | undefined,
  actor?: AuditActor,
): Promise<CompletedMove> {
  const { moveId, tenantId, executionArn } = move;
  const tenant = await findMovingTenant(registry, tenantId);
  const left = tenant && onwardOf(move, tenant);
  const onward =
    left && regions && executionArn !== null ? await goOnward(regions, move, left, executionArn) : undefined;
  const { onward: _, ...finished } = await finishMove(registry, moveId, actor, onward);
  return onward ? { ...finished, onward } : finished;
}
