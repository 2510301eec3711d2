import { sql } from 'kysely';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { columnValue } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { draftMove } from './draft-move.ts';
import { type Forbidden, TenantNotMovable } from './errors.ts';
import type { HopKind, Regions } from './hop.ts';
import { findMovingTenant } from './move-records.ts';
import type { CountedUsage, SurveyOf } from './move-rules.ts';
import type { PlannedHop } from './plan.ts';
import type { MoveAsked } from './request-move.ts';
import type { TenantSurvey } from './survey-tenant.ts';

/** What a move would be. */
export interface DryRun {
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
export async function dryRunMove(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  { tenantId, target, force }: MoveAsked,
  survey: SurveyOf,
  regions?: Regions,
): Promise<DryRun> {
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
  const plan = [...drafted.plan, ...drafted.followUp];
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

export interface MoveEstimate {
  readonly seconds: number;
  readonly writePauseMs: number;
}

interface Pace {
  readonly bytesPerSecond: number;
  readonly rowsPerSecond: number;
  /** Preparing, catching up, comparing and settling what has next to nothing in it. */
  readonly atLeastSeconds: number;
  readonly writePauseMs: number;
}

/**
 * From the measured prototypes in DESIGN section 6, on two shared cores: a relocate took 35 s for 2.8 million rows and
 * 1.3 GB under 200 writes a second, its pause at most 13 ms; a reshape's pause was 17 ms at a million rows. How long a
 * whole reshape takes is not told there: the strategy's own INSERT … SELECT took 38 s for a million rows of the same
 * tables, which copies as much. What is least is our guess.
 */
const PACES: Readonly<Record<HopKind, Pace>> = {
  relocate: { bytesPerSecond: 1.3e9 / 35, rowsPerSecond: 2.8e6 / 35, atLeastSeconds: 5, writePauseMs: 13 },
  reshape: {
    bytesPerSecond: Number.POSITIVE_INFINITY,
    rowsPerSecond: 1e6 / 38,
    atLeastSeconds: 2,
    writePauseMs: 17,
  },
};

/** Our guess at an Aurora cluster with its instances and its proxy. */
const LAUNCH_SECONDS = 15 * 60;

/** @param hasDatabase whether a dedicated database of an earlier stay will be found. */
export function estimateMove(
  plan: readonly PlannedHop[],
  { rows, bytes }: { readonly rows: number; readonly bytes: number },
  { hasDatabase = false }: { readonly hasDatabase?: boolean } = {},
): MoveEstimate {
  let seconds = 0;
  for (const { kind, to } of plan) {
    const { bytesPerSecond, rowsPerSecond, atLeastSeconds } = PACES[kind];
    seconds += Math.max(bytes / bytesPerSecond, rows / rowsPerSecond) + atLeastSeconds;
    if (to.isolationModel === 'dedicated' && !hasDatabase) seconds += LAUNCH_SECONDS;
  }
  const pauses = plan.map(({ kind }) => PACES[kind].writePauseMs);
  return { seconds: Math.ceil(seconds), writePauseMs: Math.max(0, ...pauses) };
}
