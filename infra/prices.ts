/**
 * List prices. AWS changes prices, and contracts and discounts differ: an operator must
 * compare them with the price list and the bill, and change `asOf` with them. Costs, margins and docs/cost-model.md are
 * computed from this table (`npm run cost-model` writes the document again).
 */
import type { CostAssumptions, RegionPrices } from '../functions/contracts/price-table.ts';

export interface PricesConfig {
  /** Day of the price list. */
  readonly asOf: string;
  readonly currency: 'USD';
  /** By region key. */
  readonly regions: Readonly<Record<string, RegionPrices>>;
  readonly assumptions: CostAssumptions;
}

const usEast: RegionPrices = {
  acuHour: 0.12,
  instanceHour: {
    'db.t4g.medium': 0.073,
    'db.r6g.large': 0.26,
    'db.r6g.xlarge': 0.519,
    'db.r6g.2xlarge': 1.038,
  },
  reservedInstanceHour: {
    'db.t4g.medium': 0.049,
    'db.r6g.large': 0.178,
    'db.r6g.xlarge': 0.356,
    'db.r6g.2xlarge': 0.712,
  },
  proxyAcuHour: 0.015,
  proxyVcpuHour: 0.015,
  storageGbMonth: 0.1,
  ioMillion: 0.2,
  clusterBackupGbMonth: 0.021,
  s3GbMonth: { standard: 0.023, infrequentAccess: 0.0125 },
  cacheGbHour: 0.084,
  cacheMillion: 0.0023,
  endpointHour: 0.01,
  natHour: 0.045,
  lambdaGbSecond: 0.0000133334,
  lambdaMillion: 0.2,
  apiMillion: 1,
  transitionsMillion: 25,
  alarmMonth: 0.1,
  dashboardMonth: 3,
  metricMonth: 0.3,
  logGb: 0.5,
  logScanGb: 0.005,
  userMonth: 0.015,
  freeUsers: 10_000,
  keyMonth: 1,
  keyCallMillion: 3,
  secretMonth: 0.4,
  transferOutGb: 0.09,
  transferZoneGb: 0.02,
};

/** Prices that differ from us-east-1's by one factor, but for those that are the same everywhere. */
function scaled(factor: number): RegionPrices {
  const times = (prices: Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(Object.entries(prices).map(([name, price]) => [name, rounded(price * factor)]));
  return {
    ...usEast,
    acuHour: rounded(usEast.acuHour * factor),
    instanceHour: times(usEast.instanceHour),
    reservedInstanceHour: times(usEast.reservedInstanceHour),
    proxyAcuHour: rounded(usEast.proxyAcuHour * factor),
    proxyVcpuHour: rounded(usEast.proxyVcpuHour * factor),
    storageGbMonth: rounded(usEast.storageGbMonth * factor),
    ioMillion: rounded(usEast.ioMillion * factor),
    cacheGbHour: rounded(usEast.cacheGbHour * factor),
    cacheMillion: rounded(usEast.cacheMillion * factor),
    endpointHour: rounded(usEast.endpointHour * factor),
  };
}

const rounded = (price: number): number => Math.round(price * 10_000) / 10_000;

export const prices: PricesConfig = {
  asOf: '2026-10-01',
  currency: 'USD',
  regions: { us: usEast, eu: scaled(1.1), apac: scaled(1.25) },
  assumptions: {
    ioPerRequest: 5,
    ecpusPerRequest: 10,
    logBytesPerRequest: 1_600,
    transitionsPerTenantDay: 40,
    keyCallsPerTenantDay: 200,
    functionGb: 0.5,
  },
};

/** Every mistake in the prices: a missing region, a price that is no number. */
export function priceProblems({
  prices: given,
  regions,
}: {
  readonly prices: PricesConfig;
  readonly regions: readonly { readonly key: string }[];
}): string[] {
  const problems: string[] = [];
  if (!/^\d{4}-\d\d-\d\d$/.test(given.asOf))
    problems.push(`prices: asOf is ${given.asOf}, expected YYYY-MM-DD`);
  for (const { key } of regions) {
    const own = given.regions[key];
    if (!own) problems.push(`prices: region ${key} has none`);
    else collectNegative(own, `prices.regions.${key}`, problems);
  }
  collectNegative(given.assumptions, 'prices.assumptions', problems);
  return problems;
}

function collectNegative(value: object, path: string, problems: string[]): void {
  for (const [name, price] of Object.entries(value)) {
    if (typeof price === 'object' && price !== null) collectNegative(price, `${path}.${name}`, problems);
    else if (typeof price !== 'number' || !Number.isFinite(price) || price < 0) {
      problems.push(`${path}.${name} is ${price}, expected 0 or more`);
    }
  }
}
