import { areCredentialsRotating } from '../registry/credential-rotations.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { type Forbidden, MoveForbidden, MoveInProgress, NothingToMove, TenantNotMovable } from './errors.ts';
import { leavesRegion, type Regions } from './hop.ts';
import { type MovingTenant, otherMovesOf } from './move-records.ts';
import { type CountedUsage, complianceForbids, LIMITS, limitsForbid, usageOf } from './move-rules.ts';
import type { MoveTarget } from './move-target.ts';
import { type PlannedHop, planMove, splitByRegion } from './plan.ts';
import { resolveTarget } from './resolve-target.ts';

/** A move that could be begun. */
export interface MoveDraft {
  readonly plan: readonly PlannedHop[];
  /** The follow-up move that the target region makes afterwards. */
  readonly followUp: readonly PlannedHop[];
  /** Every rule that refuses it. */
  readonly forbidden: readonly Forbidden[];
  /** The limits that `force` sets aside. */
  readonly overridden: readonly Forbidden[];
}

export interface DraftOptions {
  readonly force: boolean;
  /** Counts that replace the last sample. */
  readonly counted?: CountedUsage | undefined;
  readonly regions?: Regions | undefined;
}

/**
 * Plans the hops of a tenant, which the caller has locked, to a target, and collects the rules that refuse the move.
 * @throws {TenantNotMovable} it has no place: it is being onboarded, in another region, or erased.
 * @throws {InvalidMoveInput} the target does not exist.
 */
export async function draftMove(
  transaction: RegistryExecutor,
  tenant: MovingTenant,
  target: MoveTarget,
  { force, counted, regions }: DraftOptions,
): Promise<MoveDraft> {
  const { tenantId, location, status } = tenant;
  if (status === 'elsewhere')
    throw new TenantNotMovable('The tenant lives in another region. Move it from there.');
  if (status === 'offboarded') throw new TenantNotMovable('The tenant is offboarded.');
  if (!location) throw new TenantNotMovable('The tenant has no place yet.');
  const forbidden: Forbidden[] = [];
  if (status !== 'active') forbidden.push({ rule: 'status', detail: `The tenant is ${status}.` });
  forbidden.push(...(await otherMovesForbid(transaction, tenantId)));
  const resolved = await resolveTarget(transaction, tenant, target, regions);
  forbidden.push(...resolved.forbidden);
  if (await areCredentialsRotating(transaction, tenantId)) {
    const detail = 'Database credentials that the move depends on are being replaced. Try again later.';
    forbidden.push({ rule: 'credentials', detail });
  }
  const { plan, followUp } = splitByRegion(resolved.location ? planMove(location, resolved.location) : []);
  const last = plan.at(-1);
  if (regions && last && leavesRegion({ source: last.from, target: last.to })) {
    const { isNameTaken, nameTaken } = await import('./other-region/announce-tenant.ts');
    const named = { tenant_id: tenantId, tenant_name: tenant.name };
    if (await isNameTaken(regions.of(last.to.region), named)) forbidden.push(nameTaken(last.to.region));
  }
  if (resolved.location) {
    // A tenant whose place is not its tier's may need a move although the tier stays the same.
    if (plan.length === 0 && resolved.tier === tenant.tier) {
      forbidden.push({ rule: 'nothing-to-move', detail: new NothingToMove().message });
    }
    const { isolationModel } = resolved.location;
    forbidden.push(
      ...complianceForbids(tenant.complianceRequirements, location.isolationModel, isolationModel),
    );
  }
  const limits = limitsForbid(tenant, resolved.tier, await usageOf(transaction, tenantId, counted));
  if (!force) forbidden.push(...limits);
  return { plan, followUp, forbidden, overridden: force ? limits : [] };
}

/** @throws {TenantNotMovable | MoveInProgress | NothingToMove | MoveForbidden} the first of these that applies. */
export function requireAllowed({ forbidden }: MoveDraft): void {
  const found = (rule: Forbidden['rule']) => forbidden.find((each) => each.rule === rule);
  const immovable = found('status') ?? found('mismatch');
  if (immovable) throw new TenantNotMovable(immovable.detail);
  if (found('moving')) throw new MoveInProgress();
  if (found('nothing-to-move')) throw new NothingToMove();
  if (forbidden.length > 0) throw new MoveForbidden(forbidden);
}

/** For the audit log: the limits that were set aside. */
export function overriddenLimits({ overridden }: MoveDraft): string[] {
  return LIMITS.filter((rule) => overridden.some((each) => each.rule === rule));
}

async function otherMovesForbid(transaction: RegistryExecutor, tenantId: string): Promise<Forbidden[]> {
  const { moving, differs } = await otherMovesOf(transaction, tenantId);
  const forbidden: Forbidden[] = [];
  if (moving) forbidden.push({ rule: 'moving', detail: new MoveInProgress().message });
  if (differs) {
    const detail = 'An earlier move of the tenant found differences, which an operator has to resolve first.';
    forbidden.push({ rule: 'mismatch', detail });
  }
  return forbidden;
}
