import { PRICE_BANDS } from '../contracts/price-bands.ts';
import { type CostBasis, HOURS_OF_A_MONTH } from '../contracts/price-table.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { readCostBasis } from '../registry/price-tables.ts';
import { getTenant } from '../registry/tenant-record.ts';
import { type Allocation, allocate } from './allocate.ts';
import { type Basis, type BillLine, billOf, daysOf, type Period, type TenantFigures } from './bill.ts';
import { periodFigures } from './period-figures.ts';

/** A region's bill, given out to its tenants. */
export interface RegionCosts {
  readonly basis: CostBasis;
  readonly period: Period;
  readonly tenants: readonly TenantFigures[];
  readonly lines: readonly BillLine[];
  readonly allocation: Allocation;
}

/** @throws {NoPrices | RegistryError} */
export async function regionCosts(registry: RegistryExecutor, period: Period): Promise<RegionCosts> {
  const basis = await readCostBasis(registry);
  const tenants = await periodFigures(registry, period);
  const lines = billOf(basis, tenants, period);
  return { basis, period, tenants, lines, allocation: allocate(lines, tenants, period) };
}

/** What a tenant has cost. Amounts in US dollars, with millionths. */
export interface TenantCosts {
  readonly tenantId: string;
  readonly from: string;
  readonly to: string;
  /** On which the tenant existed; others of the range are not charged to it. */
  readonly days: number;
  readonly currency: 'USD';
  /** Day of the price list. */
  readonly pricesAsOf: string;
  readonly total: number;
  /** What the total is for 730 hours in which it exists. */
  readonly monthly: number;
  readonly lines: readonly {
    readonly item: string;
    readonly basis: Basis;
    readonly source: BillLine['source'];
    readonly cellId: string | null;
    readonly amount: number;
  }[];
  /** What tenants of its tier pay a month. */
  readonly priceBand: { readonly from: number; readonly to: number };
  /** What is left of the lowest and of the highest price, as a fraction of it. */
  readonly bandMargin: { readonly from: number; readonly to: number };
  readonly monthlyRevenue: number | null;
  /** Of the revenue; null when it is not known. */
  readonly margin: { readonly amount: number; readonly share: number | null } | null;
  /** The whole bill of the tenant's region, of which this is a part. */
  readonly bill: number;
}

/** @throws {ResourceNotFound | NoPrices | RegistryError} */
export async function tenantCosts(
  registry: RegistryExecutor,
  tenantReference: string,
  period: Period,
): Promise<TenantCosts> {
  const { tenantId, tier, monthlyRevenue } = await getTenant(registry, tenantReference);
  const { basis, lines, tenants, allocation } = await regionCosts(registry, period);
  const existed = tenants.find((one) => one.tenantId === tenantId)?.existed;
  // A tenant without a place has no share.
  const shares = allocation.shares.get(tenantId) ?? [];
  const total = shares.reduce((sum, { amount }) => sum + amount, 0);
  const monthly = existed === undefined ? 0 : monthlyOf(total, existed);
  const { from, to } = PRICE_BANDS[tier];
  return {
    tenantId,
    ...period,
    days: existed === undefined ? 0 : daysOf(existed),
    currency: basis.currency,
    pricesAsOf: basis.asOf,
    total: dollars(total),
    monthly: dollars(monthly),
    lines: shares.map((share) => ({
      item: share.item,
      basis: share.basis,
      source: share.source,
      cellId: share.cellId ?? null,
      amount: dollars(share.amount),
    })),
    priceBand: { from, to },
    bandMargin: { from: shareLeft(from, dollars(monthly)) ?? 0, to: shareLeft(to, dollars(monthly)) ?? 0 },
    monthlyRevenue,
    margin: marginOf(monthlyRevenue, dollars(monthly)),
    bill: dollars(lines.reduce((sum, { amount }) => sum + amount, 0)),
  };
}

/** Millionths of a dollar as dollars. */
export const dollars = (amount: number): number => Math.round(amount) / 1e6;

/** The amount of these days for a month of 730 hours. */
export const monthlyOf = (amount: number, period: Period): number =>
  (amount / (daysOf(period) * 24)) * HOURS_OF_A_MONTH;

/** @param cost of a month, in dollars */
export function marginOf(
  revenue: number | null,
  cost: number,
): { readonly amount: number; readonly share: number | null } | null {
  if (revenue === null) return null;
  return { amount: Math.round((revenue - cost) * 1e6) / 1e6, share: shareLeft(revenue, cost) };
}

/** null when there is no price. */
function shareLeft(price: number, cost: number): number | null {
  return price === 0 ? null : Math.round((1 - cost / price) * 10_000) / 10_000;
}
