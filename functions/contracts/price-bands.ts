import type { Tier } from './tenant.ts';

/** What a tenant of each tier pays a month, in US dollars (the strategy's "Tier Definitions"). */
export const PRICE_BANDS: Readonly<Record<Tier, { readonly from: number; readonly to: number }>> = {
  starter: { from: 50, to: 500 },
  business: { from: 500, to: 5_000 },
  enterprise: { from: 5_000, to: 50_000 },
};
