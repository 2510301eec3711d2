import type { Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';

/** The tenant has no placement in the registry: its onboarding was never completed, or it was offboarded. */
export class NotPlaced extends Error {
  override name = 'NotPlaced';
}

/** The tenant could not be served within the time that a request may wait. Nothing was committed; try again later. */
export class TenantUnavailable extends Error {
  override name = 'TenantUnavailable';
  /** Seconds after which a retry makes sense. */
  readonly retryAfter: number;
  constructor(message: string, retryAfter: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfter = retryAfter;
  }
}

/** Another region serves the tenant. Nothing was changed here; send the request to that region's API. */
export class TenantElsewhere extends Error {
  override name = 'TenantElsewhere';
  readonly slug: string;
  /** Key of the region, such as `eu`. */
  readonly region: string;
  constructor({ slug, region }: { slug: string; region: string }) {
    super(`the tenant is served by region ${region}`);
    this.slug = slug;
    this.region = region;
  }
}

/** No active cell of that residency has room for another tenant of that tier. The message may be shown to a client. */
export class NoCellCapacity extends Error {
  override name = 'NoCellCapacity';
  constructor(tier: Tier, dataResidency: string, { needsSchema = false } = {}) {
    const unlikeItsTier = needsSchema && tierTerms[tier].isolationModel !== 'schema';
    const why = unlikeItsTier ? ', which comes in a schema of its own' : '';
    super(`No cell with data residency "${dataResidency}" has room for another ${tier} tenant${why}.`);
  }
}
