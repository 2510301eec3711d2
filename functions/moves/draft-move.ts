import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type Forbidden, MoveForbidden, MoveInProgress, NothingToMove, TenantNotMovable } from './errors.ts';
import { leavesRegion, type Regions } from './hop.ts';
import type { MovingTenant } from './move-records.ts';
import { type CountedUsage, complianceForbids, LIMITS, limitsForbid, usageOf } from './move-rules.ts';
import type { MoveTarget } from './move-target.ts';
import { type PlannedHop, planMove, splitByRegion } from './plan.ts';
import { resolveTarget } from './resolve-target.ts';

/** A move that could be begun. */
export interface MoveDraft {
  readonly plan: readonly PlannedHop[];
  /** What the region that it leads to does afterwards, as a follow-up move of its own. */
  readonly followUp: readonly PlannedHop[];
  /** Everything that stands against it. */
  readonly forbidden: readonly Forbidden[];
  /** The limits that `force` sets aside. */
  readonly overridden: readonly Forbidden[];
}

export interface DraftOptions {
  readonly force: boolean;
  /** Counts instead of the last sample. */
  readonly counted?: CountedUsage | undefined;
  readonly regions?: Regions | undefined;
}

/**
 * Plans the way of a tenant, which the caller has locked, to a target, and collects what forbids it.
 * @throws {TenantNotMovable} it has no place yet.
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
  if (!location) throw new TenantNotMovable('The tenant has no place yet.');
  const forbidden: Forbidden[] = [];
  if (status !== 'active') forbidden.push({ rule: 'status', detail: `The tenant is ${status}.` });
  forbidden.push(...(await otherMovesForbid(transaction, tenantId)));
  const resolved = await resolveTarget(transaction, tenant, target, regions);
  forbidden.push(...resolved.forbidden);
  const { plan, followUp } = splitByRegion(resolved.location ? planMove(location, resolved.location) : []);
  const last = plan.at(-1);
  if (regions && last && leavesRegion({ source: last.from, target: last.to })) {
    const { isNameTaken, nameTaken } = await import('./other-region/announce-tenant.ts');
    const named = { tenant_id: tenantId, tenant_name: tenant.name };
    if (await isNameTaken(regions.of(last.to.region), named)) forbidden.push(nameTaken(last.to.region));
  }
  if (resolved.location) {
    // A tenant between two tiers has nowhere to go, but something to get.
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

/** For the audit log: which limits were set aside. */
export function overriddenLimits({ overridden }: MoveDraft): string[] {
  return LIMITS.filter((rule) => overridden.some((each) => each.rule === rule));
}

async function otherMovesForbid(transaction: RegistryExecutor, tenantId: string): Promise<Forbidden[]> {
  const { moving, differs } = await registrySql(transaction)
    .selectNoFrom((eb) => [
      eb
        .exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .where('m.tenant_id', '=', tenantId)
            .where('m.status', '=', 'running'),
        )
        .as('moving'),
      eb
        .exists(
          eb
            .selectFrom('tenant_move_hops as h')
            .select('h.move_id')
            .where('h.tenant_id', '=', tenantId)
            .where('h.state', '=', 'mismatch'),
        )
        .as('differs'),
    ])
    .executeTakeFirstOrThrow();
  const forbidden: Forbidden[] = [];
  if (moving) forbidden.push({ rule: 'moving', detail: new MoveInProgress().message });
  if (differs) {
    const detail = 'An earlier move of the tenant found differences, which a person has to settle first.';
    forbidden.push({ rule: 'mismatch', detail });
  }
  return forbidden;
}
