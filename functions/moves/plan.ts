import { type Location, sameLocation } from '../places/place.ts';
import type { HopKind } from './hop.ts';

export interface PlannedHop {
  readonly kind: HopKind;
  readonly from: Location;
  readonly to: Location;
}

/**
 * The hops that take a tenant from one location to another; none where they are the same.
 *
 * Shared rows leave their tables only by a reshape inside their database, and a relocate takes whole schemas only. So
 * the way is: out of the shared tables, to the other cluster, into the shared tables there, without the hops that are not
 * needed.
 */
export function planMove(from: Location, to: Location): PlannedHop[] {
  if (sameLocation(from, to)) return [];
  const out = from.isolationModel === 'shared' ? schemaAt(from) : from;
  const there = to.isolationModel === 'shared' ? schemaAt(to) : to;
  const hops: PlannedHop[] = [
    { kind: 'reshape', from, to: out },
    { kind: 'relocate', from: out, to: there },
    { kind: 'reshape', from: there, to },
  ];
  return hops.filter((hop) => !sameLocation(hop.from, hop.to));
}

/** The hops up to the one that leaves the region, and those that the other region makes as a follow-up move. */
export function splitByRegion(plan: readonly PlannedHop[]): {
  readonly plan: PlannedHop[];
  readonly followUp: PlannedHop[];
} {
  const leaving = plan.findIndex(({ from, to }) => from.region !== to.region);
  const end = leaving < 0 ? plan.length : leaving + 1;
  return { plan: plan.slice(0, end), followUp: plan.slice(end) };
}

function schemaAt({ cellId, region }: Location): Location {
  return { isolationModel: 'schema', cellId, region };
}
