import * as z from 'zod/mini';
import { operatorRoute } from '../../http/operator-api.ts';
import { invalidInput, Problem } from '../../http/problem.ts';
import { givenDays, rangeParameters } from './day-range.ts';
import { tenantParams } from './tenant-routes.ts';

/** What the tenant has cost: its shares of the lines of its region's bill, and the margin. */
export const tenant = operatorRoute(
  { params: tenantParams, query: z.strictObject(rangeParameters) },
  async ({ registry, params, query }) => {
    const period = pastDays(query) ?? lastDays();
    const { tenantCosts } = await import('../../costs/tenant-costs.ts');
    return { status: 200, body: await tenantCosts(registry, params.tenantId, period).catch(withoutPrices) };
  },
);

/** What an operator could change for the tenant. Nothing of it is done. */
export const advice = operatorRoute(
  { params: tenantParams, query: z.strictObject({}) },
  async ({ registry, params }) => {
    const { tenantAdvice } = await import('../../costs/tenant-advice.ts');
    const advised = tenantAdvice(registry, params.tenantId, lastDays(), Date.now());
    return { status: 200, body: await advised.catch(withoutPrices) };
  },
);

/** Tenants, use, cost and margin by tier and cell, of all regions. */
export const fleet = operatorRoute(
  { query: z.strictObject(rangeParameters) },
  async ({ registries, query }) => {
    const period = pastDays(query) ?? lastDays();
    const { fleetOverview } = await import('../../costs/fleet-overview.ts');
    return { status: 200, body: await fleetOverview(registries, period).catch(withoutPrices) };
  },
);

/** The bill of days that are to come would be what stands now, times the days. @throws {Problem} 400 */
function pastDays(query: Parameters<typeof givenDays>[0]): ReturnType<typeof givenDays> {
  const days = givenDays(query);
  if (days && days.to > lastDays().to) {
    throw invalidInput([{ parameter: 'to', detail: 'must not be after today, in UTC' }]);
  }
  return days;
}

const DAY_MS = 86_400_000;
/** Days that are looked at when none are given: until today. */
const USUAL_DAYS = 30;

function lastDays() {
  const day = (daysAgo: number) => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
  return { from: day(USUAL_DAYS - 1), to: day(0) };
}

function withoutPrices(error: unknown): never {
  // By its name: the code that throws it is loaded on first use.
  if (!(error instanceof Error) || error.name !== 'NoPrices') throw error;
  const headers = { 'retry-after': '300' };
  throw new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
}
