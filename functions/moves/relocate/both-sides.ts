import type pg from 'pg';
import type { BothSides } from '../../database/transfer/claimed-target.ts';
import { asOwnerOf, type Hop, type Place } from '../hop.ts';

/** As the owners of both databases of a hop. @throws the driver's errors. */
export function onBothSides<Result>(
  { source, target }: Pick<Hop, 'source' | 'target'>,
  work: (sides: { readonly source: pg.Client; readonly target: pg.Client }) => Promise<Result>,
): Promise<Result> {
  return asOwners([source, target], ([atSource, atTarget]) => work({ source: atSource!, target: atTarget! }));
}

/** A connection for each of the places, in their order. */
export function asOwners<Result>(
  [place, ...others]: readonly Place[],
  work: (owners: readonly pg.Client[]) => Promise<Result>,
): Promise<Result> {
  if (!place) return work([]);
  return asOwnerOf(place, (owner) => asOwners(others, (owners) => work([owner, ...owners])));
}

export type { BothSides };
