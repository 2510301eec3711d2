/** What the bill of a region is computed from: its prices, and what its deployment consists of. */
import type { CostBasis, DedicatedSize, Installation } from '../functions/contracts/price-table.ts';
import type { DedicatedSizeConfig, RegionConfig, StrataConfig } from './config.ts';

/** Interface endpoints of a region's network, each in every zone. */
const ENDPOINT_SERVICES = 4;
/** Three for each of the API's functions and each tier with its cells, or the dedicated databases. */
const METRICS_OF_A_FUNCTION = 3;
const API_FUNCTIONS = 5;

/** What stands in stacks, whatever tenants do. A test counts it in the templates (test/infra/region-prices.test.ts). */
interface Standing {
  readonly alarmMetrics: number;
  readonly dashboards: number;
  readonly secrets: number;
  readonly keys: number;
}
const NOTHING: Standing = { alarmMetrics: 0, dashboards: 0, secrets: 0, keys: 0 };
/** The stacks that each region has once. */
const REGION: Standing = { alarmMetrics: 110, dashboards: 1, secrets: 4, keys: 3 };
/** What the home region has more than others: the operators' API and the registry's key. */
const HOME: Standing = { ...NOTHING, alarmMetrics: 4, keys: 1 };
const CELL: Standing = { ...NOTHING, alarmMetrics: 16, secrets: 3 };
const CACHE: Standing = { ...NOTHING, alarmMetrics: 1, secrets: 2 };
/** The way to one other region. */
const LINK: Standing = { ...NOTHING, alarmMetrics: 2 };
/**
 * What copies of backups in a second AWS region need: a key there for the bucket, a multi-Region key of encrypted fields,
 * and its copy, which is made at run time.
 */
const BACKUP_COPIES: Standing = { ...NOTHING, keys: 3 };

/** What the bill of a region is computed from. @throws {Error} the region has no prices. */
export function costBasisOf(config: StrataConfig, region: RegionConfig): CostBasis {
  const { asOf, currency, regions, assumptions } = config.prices;
  const own = regions[region.key];
  if (!own) throw new Error(`infra/prices.ts has no prices of region ${region.key}`);
  return {
    asOf,
    currency,
    region: region.key,
    prices: own,
    assumptions,
    installation: installationOf(config, region),
  };
}

export function installationOf(config: StrataConfig, region: RegionConfig): Installation {
  const { registry, regions, backups } = config;
  const isHome = regions[0]?.key === region.key;
  const { cells, dedicated, availabilityZones } = region;
  const isCopied = backups.secondRegions?.[region.key] !== undefined;
  const standing = [
    REGION,
    ...(isHome ? [HOME] : []),
    ...cells.flatMap(({ cache }) => (cache ? [CELL, CACHE] : [CELL])),
    ...regions.slice(1).map(() => LINK),
    ...(isCopied ? [BACKUP_COPIES] : []),
  ];
  const count = (what: keyof Standing) => standing.reduce((sum, part) => sum + part[what], 0);
  return {
    isHome,
    registry: { instances: 1 + registry.readers, minCapacity: registry.minCapacity },
    cells: cells.map(({ id, readers, minCapacity, maxCapacity, cache }) => ({
      id,
      instances: 1 + readers,
      minCapacity,
      maxCapacity,
      hasCache: cache !== undefined,
    })),
    dedicated: {
      small: dedicatedSize(dedicated.sizes.small),
      medium: dedicatedSize(dedicated.sizes.medium),
      large: dedicatedSize(dedicated.sizes.large),
    },
    zones: availabilityZones.length,
    endpoints: ENDPOINT_SERVICES * availabilityZones.length,
    natGateways: 0,
    alarmMetrics: count('alarmMetrics'),
    dashboards: count('dashboards'),
    customMetrics: METRICS_OF_A_FUNCTION * API_FUNCTIONS * (2 * cells.length + 1),
    secrets: count('secrets'),
    keys: count('keys'),
    keyCopies: isCopied ? 1 : 0,
  };
}

function dedicatedSize({ instanceClass, capacity, readers }: DedicatedSizeConfig): DedicatedSize {
  const instances = 1 + readers;
  return capacity
    ? { instances, minCapacity: capacity.min, maxCapacity: capacity.max }
    : { instances, instanceClass };
}
