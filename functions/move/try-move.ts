import type { DataApi } from '../database/registry/data-api.ts';
import { draftMove } from './draft-move.ts';
import { type Forbidden, TenantNotMovable } from './errors.ts';
import { estimateMove, type MoveEstimate } from './estimate-move.ts';
import { boundTransaction, findMovingTenant } from './moving-tenant.ts';
import type { PlannedHop } from './plan.ts';
import type { AskedMove } from './request-move.ts';
import type { TenantSurvey } from './survey-tenant.ts';

/** What a move would be. */
export interface TriedMove {
  readonly dryRun: true;
  readonly plan: readonly PlannedHop[];
  readonly sizes: TenantSurvey;
  readonly estimate: MoveEstimate;
  readonly forbidden: readonly Forbidden[];
}

/**
 * A dry run: plans the move, measures the tenant and tells what stands against it. Changes nothing.
 * @param survey where the databases can be reached.
 * @throws {TenantNotMovable} it has no place yet.
 * @throws {InvalidMoveInput} the target does not exist.
 */
export async function tryMove(
  registry: Pick<DataApi, 'transaction'>,
  { tenantId, target, force }: AskedMove,
  survey: (tenantId: string) => Promise<TenantSurvey>,
): Promise<TriedMove> {
  const draft = async (storageBytes?: number) =>
    registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      const tenant = await findMovingTenant(transaction, tenantId, { lock: true });
      if (!tenant) throw new TenantNotMovable('The tenant is not known.');
      return draftMove(transaction, tenant, target, { force, storageBytes });
    });
  // First what the registry alone can refuse: a survey takes seconds, and must not be held in a transaction.
  await draft();
  const sizes = await survey(tenantId);
  const { plan, forbidden } = await draft(sizes.bytes);
  return { dryRun: true, plan, sizes, estimate: estimateMove(plan, sizes), forbidden };
}
