import { sql } from 'kysely';
import { DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { databaseSizeOf } from '../places/place.ts';
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

/** The plan of a move that was not started. */
export interface DryRun {
  readonly dryRun: true;
  readonly plan: readonly PlannedHop[];
  readonly sizes: TenantSurvey;
  /** null when there is no plan: nothing to move, or no place takes the tenant. */
  readonly estimate: MoveEstimate | null;
  readonly forbidden: readonly Forbidden[];
}

/**
 * A dry run: plans the move, measures the tenant and lists the rules that refuse the move. Changes nothing.
 * @param survey given when the databases can be reached.
 * @throws {TenantNotMovable} it has no place, as in {@link draftMove}.
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
  // First the checks that need only the registry: a survey takes seconds and must not run inside a transaction.
  await draft();
  const sizes = await survey(tenantId);
  const { forbidden, ...drafted } = await draft({
    storageBytes: sizes.bytes,
    activeEmployees: sizes.activeEmployees,
  });
  const plan = [...drafted.plan, ...drafted.followUp];
  if (plan.length === 0) return { dryRun: true, plan, sizes, estimate: null, forbidden };
  const last = plan.at(-1)?.to;
  const hasDatabase = last?.isolationModel === 'dedicated' && (await knewDatabase(registry, tenantId, last));
  return { dryRun: true, plan, sizes, estimate: estimateMove(plan, sizes, { hasDatabase }), forbidden };
}

/** A dedicated database may outlive the stay of its tenant, and a failed attempt to bring it there. */
async function knewDatabase(
  registry: RegistryExecutor,
  tenantId: string,
  target: PlannedHop['to'],
): Promise<boolean> {
  const { rows } = await sql`
    select 1 as known
      from tenant_move_hops cross join lateral (values (source), (target)) as side (place)
     where tenant_id = ${columnValue('tenant_move_hops.tenant_id', tenantId)}
       and place ->> 'isolationModel' = 'dedicated' and place ->> 'clusterArn' is not null
       and place ->> 'region' = ${target.region}
       and coalesce(place ->> 'databaseSize', ${DEFAULT_DATABASE_SIZE}) = ${databaseSizeOf(target)}
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
  /** Time to prepare, catch up, compare and settle a tenant with almost no data. */
  readonly atLeastSeconds: number;
  readonly writePauseMs: number;
}

/**
 * From prototypes measured on two shared cores: a relocate took 35 s for 2.8 million rows and 1.3 GB under 200 writes a
 * second, with a pause of at most 13 ms; a reshape's pause was 17 ms at a million rows. The duration of a whole reshape
 * is an estimate: a single INSERT … SELECT of a million rows of the same tables took 38 s, and a reshape copies as
 * much. The minimum is a guess.
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

/** A guess for an Aurora cluster with its instances and its proxy. */
const LAUNCH_SECONDS = 15 * 60;

/** @param hasDatabase true when a dedicated database of an earlier stay exists. */
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
