import type { Tier } from '../contracts/tenant.ts';
import { askRegions, type Regions } from '../registry/ask-region.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { NoPrices } from '../registry/errors.ts';
import { latest, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Period, TenantFigures } from './bill.ts';
import { dollars, marginOf, monthlyOf, type RegionCosts, regionCosts } from './tenant-costs.ts';

/** Sums over tenants. Storage in bytes at the average of the period, amounts in US dollars. */
export interface FleetSums {
  readonly tenants: number;
  readonly requests: number;
  /** Of transactions in their databases, in milliseconds. */
  readonly databaseMs: number;
  readonly storageBytes: number;
  readonly users: number;
  readonly cost: number;
  /** The cost of 730 hours as those of the period, whichever tenants existed in them. */
  readonly monthlyCost: number;
  /** Of tenants whose revenue is known. */
  readonly monthlyRevenue: number;
  readonly tenantsWithoutRevenue: number;
  /** Of the tenants whose revenue is known; null when that is none. */
  readonly margin: { readonly amount: number; readonly share: number | null } | null;
}

/** The tenants of one tier in one cell, or with databases of their own in one region. */
export interface FleetGroup extends FleetSums {
  readonly region: string;
  readonly cellId: string | null;
  readonly tier: Tier;
}

export interface FleetOverview {
  /** When it was computed. */
  readonly asOf: string;
  readonly from: string;
  readonly to: string;
  readonly currency: 'USD';
  readonly regions: readonly {
    readonly region: string;
    readonly pricesAsOf: string;
    readonly bill: number;
    /** What no tenant is charged with, because it is of days on which the region had none. */
    readonly unallocated: number;
    /** Requests are complete until then; null before the first aggregation. */
    readonly measuredUntil: string | null;
  }[];
  readonly groups: readonly FleetGroup[];
  readonly totals: FleetSums;
}

/** @throws {RegionUnavailable | NoPrices | RegistryError} */
export async function fleetOverview(registries: Regions, period: Period): Promise<FleetOverview> {
  // A region that is asked may only fail because it does not answer, so a missing price table is a result.
  const answers = await askRegions(registries, registries.keys, async (registry) => {
    const costs = await regionCosts(registry, period).catch(withoutPrices);
    return costs && { costs, measuredUntil: await measuredUntil(registry) };
  });
  const regions = answers.filter((answer) => answer !== undefined);
  if (regions.length < answers.length) throw new NoPrices();
  const groups = regions.flatMap(({ costs }) => groupsOf(costs));
  return {
    asOf: new Date().toISOString(),
    ...period,
    currency: 'USD',
    regions: regions.map(({ costs: { basis, lines, allocation }, measuredUntil: until }, index) => ({
      region: registries.keys[index] ?? basis.region,
      pricesAsOf: basis.asOf,
      bill: dollars(lines.reduce((sum, { amount }) => sum + amount, 0)),
      unallocated: dollars(allocation.unallocated),
      measuredUntil: until,
    })),
    groups,
    totals: sumOf(
      regions.flatMap(({ costs }) => costs.tenants.map((tenant) => chargedTenant(costs, tenant))),
      period,
    ),
  };
}

function withoutPrices(error: unknown): undefined {
  if (!(error instanceof NoPrices)) throw error;
}

interface ChargedTenant {
  readonly tenant: TenantFigures;
  /** Millionths of a dollar. */
  readonly cost: number;
}

function chargedTenant({ allocation }: RegionCosts, tenant: TenantFigures): ChargedTenant {
  const shares = allocation.shares.get(tenant.tenantId) ?? [];
  return { tenant, cost: shares.reduce((sum, { amount }) => sum + amount, 0) };
}

function groupsOf(costs: RegionCosts): FleetGroup[] {
  const grouped = new Map<string, ChargedTenant[]>();
  for (const tenant of costs.tenants) {
    const key = `${tenant.cellId ?? ''} ${tenant.tier}`;
    const group = grouped.get(key) ?? [];
    group.push(chargedTenant(costs, tenant));
    grouped.set(key, group);
  }
  return [...grouped.keys()].sort().map((key) => {
    const group = grouped.get(key) as ChargedTenant[];
    const { cellId, tier } = (group[0] as ChargedTenant).tenant;
    return { region: costs.basis.region, cellId, tier, ...sumOf(group, costs.period) };
  });
}

function sumOf(charged: readonly ChargedTenant[], period: Period): FleetSums {
  const sum = (figure: (one: ChargedTenant) => number, of = charged) =>
    of.reduce((total, one) => total + figure(one), 0);
  const paying = charged.filter(({ tenant }) => tenant.monthlyRevenue !== null);
  const revenue = sum(({ tenant }) => tenant.monthlyRevenue ?? 0, paying);
  const cost = sum((one) => one.cost);
  // A month's revenue of a tenant is compared with its own costs of a month.
  const costOfPaying = sum((one) => monthlyOf(one.cost, one.tenant.existed), paying);
  return {
    tenants: charged.length,
    requests: sum(({ tenant }) => tenant.requests),
    databaseMs: sum(({ tenant }) => tenant.databaseMs),
    storageBytes: sum(({ tenant }) => tenant.storageBytes),
    users: sum(({ tenant }) => tenant.users),
    cost: dollars(cost),
    monthlyCost: dollars(monthlyOf(cost, period)),
    monthlyRevenue: Math.round(revenue * 100) / 100,
    tenantsWithoutRevenue: charged.length - paying.length,
    margin: paying.length === 0 ? null : marginOf(revenue, dollars(costOfPaying)),
  };
}

async function measuredUntil(registry: RegistryExecutor): Promise<string | null> {
  const row = await registrySql(registry)
    .selectFrom('usage_aggregations')
    .select((eb) => rfc3339(latest(eb.ref('final_until')), 'MS').as('until'))
    .executeTakeFirst();
  return row?.until ?? null;
}
