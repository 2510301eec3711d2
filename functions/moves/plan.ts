import type { IsolationModel } from '../contracts/tenant.ts';
import type { HopKind } from './hop.ts';

/** As much of a place as a plan is made of. */
export interface Spot {
  readonly isolationModel: IsolationModel;
  /** null for a dedicated database. */
  readonly cellId: string | null;
  /** Key of the region, such as `us`. */
  readonly region: string;
}

export interface PlannedHop {
  readonly kind: HopKind;
  readonly from: Spot;
  readonly to: Spot;
}

/**
 * The hops that take a tenant from one spot to another; none where they are the same.
 *
 * Shared rows leave their tables only by a reshape inside their database, and a relocate takes whole schemas only. So
 * the way is: out of the shared tables, to the other cluster, into the shared tables there; what is not needed is left
 * out.
 */
export function planMove(from: Spot, to: Spot): PlannedHop[] {
  if (sameSpot(from, to)) return [];
  const out = from.isolationModel === 'shared' ? schemaAt(from) : from;
  const landing = to.isolationModel === 'shared' ? schemaAt(to) : to;
  const hops: PlannedHop[] = [
    { kind: 'reshape', from, to: out },
    { kind: 'relocate', from: out, to: landing },
    { kind: 'reshape', from: landing, to },
  ];
  return hops.filter((hop) => !sameSpot(hop.from, hop.to));
}

/** What a region's registry drives itself, and what is left to that of the region that the tenant has come to. */
export function splitAtBorder(plan: readonly PlannedHop[]): {
  readonly plan: PlannedHop[];
  readonly onward: PlannedHop[];
} {
  const border = plan.findIndex(({ from, to }) => from.region !== to.region);
  const end = border < 0 ? plan.length : border + 1;
  return { plan: plan.slice(0, end), onward: plan.slice(end) };
}

export function sameSpot(one: Spot, other: Spot): boolean {
  return (
    one.isolationModel === other.isolationModel && one.cellId === other.cellId && one.region === other.region
  );
}

function schemaAt({ cellId, region }: Spot): Spot {
  return { isolationModel: 'schema', cellId, region };
}
