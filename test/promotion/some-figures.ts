import type { PromotionFigures, Sample } from '../../functions/promotion/figures.ts';

/** Bytes. */
export const GB = 1024 ** 3;
/** When the figures of these tests are decided upon: inside the default window. */
export const AT = '2026-03-10T02:30:00.000Z';

/** The day `days` before that of `AT`. */
export const dayBefore = (days: number): string =>
  new Date(Date.parse(AT) - days * 86_400_000).toISOString().slice(0, 10);
export const instantBefore = (days: number): string =>
  new Date(Date.parse(AT) - days * 86_400_000).toISOString();

export const sample = (daysAgo: number, fields: Partial<Sample> = {}): Sample => ({
  sampledOn: dayBefore(daysAgo),
  activeUsers: 1,
  activeEmployees: 1,
  assessmentCount: 0,
  storageBytes: 1_000,
  rowOperations: null,
  monthlyRevenue: null,
  ...fields,
});

export const figures = (
  fields: Partial<PromotionFigures> = {},
  latest: Partial<Sample> = {},
): PromotionFigures => ({
  at: AT,
  tier: 'starter',
  status: 'active',
  complianceRequirements: [],
  storageLimitBytes: 5 * GB,
  samples: [sample(0, latest), ...[1, 2, 3, 4, 5].map((days) => sample(days))],
  moving: false,
  lastMove: null,
  movedDown: false,
  runningMoves: 0,
  openOffer: false,
  declinedAt: null,
  ...fields,
});

export const business = (fields: Partial<PromotionFigures> = {}, latest: Partial<Sample> = {}) =>
  figures({ tier: 'business', storageLimitBytes: 100 * GB, ...fields }, latest);
