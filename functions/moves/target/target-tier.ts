import type { Tier } from '../../contracts/tenant.ts';
import { tierTerms } from '../../contracts/tier-terms.ts';
import type { Place } from '../hop.ts';

/**
 * The tier that such a place is sold as, for the tags by which its costs are told apart. The registry still has the
 * tier that the tenant is about to leave.
 */
export function targetTier({ isolationModel }: Pick<Place, 'isolationModel'>): Tier {
  const tiers = Object.keys(tierTerms) as Tier[];
  return tiers.find((tier) => tierTerms[tier].isolationModel === isolationModel)!;
}
