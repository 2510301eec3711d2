import type { DataApi } from '../registry/data-api.ts';

/** Each region has a registry of its own; a move that leaves one needs two of them. */
export interface Regions {
  /** Of the region whose registry knows the move, such as `us`. */
  readonly ownKey: string;
  /** Of all regions of the installation. The first is home, whose registry knows every slug. */
  readonly keys: readonly string[];
  /** @throws {UnknownRegion} */
  of(regionKey: string): Pick<DataApi, 'query' | 'transaction'>;
  /** @throws {UnknownRegion} */
  awsRegionOf(regionKey: string): string;
}

/** Whether the tenant's data goes to another region, and its registry rows with them. */
export function crossesBorder<Spot extends { readonly region: string }>({
  source,
  target,
}: {
  readonly source: Spot;
  readonly target: Spot;
}): boolean {
  return source.region !== target.region;
}
