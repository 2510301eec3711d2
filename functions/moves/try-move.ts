import { sql } from 'kysely';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { draftMove } from './draft-move.ts';
import { type Forbidden, TenantNotMovable } from './errors.ts';
import { estimateMove, type MoveEstimate } from './estimate-move.ts';
import type { CountedUsage, SurveyOf } from './move-rules.ts';
import { findMovingTenant } from './moving-tenant.ts';
import type { PlannedHop } from './plan.ts';
import type { Regions } from './regions.ts';
import type { AskedMove } from './request-move.ts';
import type { TenantSurvey } from './survey-tenant.ts';

/** What a move would be. */
export interface TriedMove {
  readonly dryRun: true;
  readonly plan: readonly PlannedHop[];
  readonly sizes: TenantSurvey;
  /** null where there is no way: nothing to move, or no place that takes the tenant. */
  readonly estimate: MoveEstimate | null;
  readonly forbidden: readonly Forbidden[];
}

/**
 * A dry run: plans the move, measures the tenant and tells what stands against it. Changes nothing.
 * @param survey where the databases can be reached.
 * @throws {TenantNotMovable} it has no place yet.
 * @throws {InvalidMoveInput} the target does not exist.
 */
export async function tryMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { tenantId, target, force }: AskedMove,
  survey: SurveyOf,
  regions?: Regions,
): Promise<TriedMove> {
  const draft = async (counted?: CountedUsage) =>
    registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      const tenant = await findMovingTenant(transaction, tenantId, { lock: true });
      if (!tenant) throw new TenantNotMovable('The tenant is not known.');
      return draftMove(transaction, tenant, target, { force, counted, regions });
    });
  // First what the registry alone can refuse: a survey takes seconds, and must not be held in a transaction.
  await draft();
  const sizes = await survey(tenantId);
  const { forbidden, ...drafted } = await draft({
    storageBytes: sizes.bytes,
    activeEmployees: sizes.activeEmployees,
  });
  const plan = [...drafted.plan, ...drafted.onward];
  if (plan.length === 0) return { dryRun: true, plan, sizes, estimate: null, forbidden };
  const hasDatabase = await knewDatabase(registry, tenantId);
  return { dryRun: true, plan, sizes, estimate: estimateMove(plan, sizes, { hasDatabase }), forbidden };
}

/** A dedicated database outlives the stay of its tenant, and an attempt to bring it there. */
async function knewDatabase(registry: RegistryExecutor, tenantId: string): Promise<boolean> {
  const { rows } = await sql`
    select 1 as known
      from tenant_move_hops cross join lateral (values (source), (target)) as side (place)
     where tenant_id = ${columnValue('tenant_move_hops.tenant_id', tenantId)}
       and place ->> 'isolationModel' = 'dedicated' and place ->> 'clusterArn' is not null
     limit 1`.execute(registrySql(registry));
  return rows.length > 0;
}
