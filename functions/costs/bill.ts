/**
 * The bill of one region for some days, by list prices: what stands there whatever tenants do (from the configuration), and
 * what they have used (measured, or derived from measured figures by an assumption). It is an estimate of AWS's bill, without
 * taxes, discounts and free tiers but Cognito's. Capacity of Serverless v2 beyond the configured minimum is not in it: that
 * is measured by CloudWatch only.
 */
import { type DatabaseSize, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import {
  type CostBasis,
  type DedicatedSize,
  FIXED_OF_DEDICATED,
  HOURS_OF_A_MONTH,
  type Installation,
  LEAST_CACHE_GB,
  LEAST_PROXY_ACUS,
  LEAST_PROXY_VCPUS,
} from '../contracts/price-table.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';

/** Days in UTC, `YYYY-MM-DD`; both ends are included. */
export interface Period {
  readonly from: string;
  readonly to: string;
}

/** What one tenant has used in a period, and where it is now, or was when it was erased. */
export interface TenantFigures {
  readonly tenantId: string;
  readonly slug: string;
  /** The days of the period on which it existed, at least one. Others are not charged to it. */
  readonly existed: Period;
  readonly tier: Tier;
  readonly isolationModel: IsolationModel;
  /** null for a tenant with a database of its own. */
  readonly cellId: string | null;
  /** Of a database of its own; null when it has the usual one. */
  readonly databaseSize: DatabaseSize | null;
  readonly requests: number;
  readonly requestMs: number;
  readonly databaseMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly movedBytes: number;
  /** Averages over the days on which it existed. */
  readonly storageBytes: number;
  readonly keptBackupBytes: number;
  /** Users who may sign in, at most on a day. */
  readonly users: number;
  /** In US dollars; null when it is not known. */
  readonly monthlyRevenue: number | null;
}

/** The measured figure by which a line is shared out; `rest`: in proportion to all that is measured. */
export type Basis =
  | 'database-time'
  | 'request-time'
  | 'requests'
  | 'storage'
  | 'bytes-out'
  | 'bytes-moved'
  | 'backups'
  | 'users'
  | 'tenants'
  | 'rest';

export interface BillLine {
  /** Such as `cell-instances`. */
  readonly item: string;
  /** Millionths of a US dollar, a whole number. */
  readonly amount: number;
  readonly basis: Basis;
  /** How the quantity is known. */
  readonly source: 'configured' | 'measured' | 'assumed';
  /**
   * It stands whatever tenants do: each day costs the same, and is shared among the tenants of that day. Other lines are
   * what tenants have used.
   */
  readonly isStanding?: boolean;
  /** The line is shared among the tenants of this cell only. */
  readonly cellId?: string;
  /** The line is this tenant's alone. */
  readonly tenantId?: string;
}

const DAY_MS = 86_400_000;
const GB = 1e9;
const MILLION = 1e6;

/** Both ends are included. */
export function daysOf({ from, to }: Period): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
}

/** All lines of the region that are not zero. */
export function billOf(basis: CostBasis, tenants: readonly TenantFigures[], period: Period): BillLine[] {
  const { prices, assumptions, installation } = basis;
  const days = daysOf(period);
  const hours = days * 24;
  const months = hours / HOURS_OF_A_MONTH;
  /** The part of the period in which a tenant existed. */
  const partOf = ({ existed }: TenantFigures) => daysOf(existed) / days;
  const total = (figure: (tenant: TenantFigures) => number, of: readonly TenantFigures[] = tenants) =>
    of.reduce((sum, tenant) => sum + figure(tenant), 0);
  const lines: BillLine[] = [];
  const add = (
    item: string,
    dollars: number,
    how: Pick<BillLine, 'basis' | 'source' | 'isStanding' | 'cellId' | 'tenantId'>,
  ) => {
    const amount = Math.round(dollars * MILLION);
    if (amount > 0) lines.push({ item, amount, ...how });
  };

  const { registry } = installation;
  add('registry', registry.instances * registry.minCapacity * prices.acuHour * hours, {
    basis: 'rest',
    source: 'configured',
    isStanding: true,
  });
  for (const { id: cellId, instances, minCapacity, hasCache } of installation.cells) {
    const here = tenants.filter((tenant) => tenant.cellId === cellId);
    const shared = { basis: 'database-time', source: 'configured', isStanding: true, cellId } as const;
    add('cell-instances', instances * minCapacity * prices.acuHour * hours, shared);
    const proxy = Math.max(LEAST_PROXY_ACUS, minCapacity) * prices.proxyAcuHour;
    // Its endpoint for readers.
    const readerEndpoint = instances > 1 ? installation.zones * prices.endpointHour : 0;
    add('cell-proxy', (proxy + readerEndpoint) * hours, shared);
    add(
      'cell-storage',
      (total((tenant) => tenant.storageBytes * partOf(tenant), here) / GB) * prices.storageGbMonth * months,
      {
        basis: 'storage',
        source: 'measured',
        cellId,
      },
    );
    const requested = total(({ requests }) => requests, here);
    const io = requested * assumptions.ioPerRequest;
    add('cell-io', (io / MILLION) * prices.ioMillion, { basis: 'requests', source: 'assumed', cellId });
    if (!hasCache) continue;
    const ecpus = (requested * assumptions.ecpusPerRequest) / MILLION;
    const stored = LEAST_CACHE_GB * prices.cacheGbHour * hours;
    add('cell-cache', stored + ecpus * prices.cacheMillion, {
      basis: 'requests',
      source: 'assumed',
      // Most of it: the least that is billed for a cache.
      isStanding: true,
      cellId,
    });
  }
  for (const tenant of tenants) {
    const { tenantId, isolationModel } = tenant;
    const own = { basis: 'tenants', source: 'configured', tenantId } as const;
    const ownHours = hours * partOf(tenant);
    const ownMonths = months * partOf(tenant);
    if (isolationModel === 'schema') add('tenant-secret', prices.secretMonth * ownMonths, own);
    if (isolationModel !== 'dedicated') continue;
    const { instances, proxy } = hourlyOf(sizeOf(installation, tenant), basis);
    add('dedicated-instances', instances * ownHours, own);
    add('dedicated-proxy', proxy * ownHours, own);
    add('dedicated-fixed', fixedOfDedicated(basis) * ownMonths, own);
    const storage = (tenant.storageBytes / GB) * prices.storageGbMonth * ownMonths;
    add('dedicated-storage', storage, { ...own, source: 'measured' });
    const io = (tenant.requests * assumptions.ioPerRequest) / MILLION;
    add('dedicated-io', io * prices.ioMillion, { ...own, source: 'assumed' });
  }

  const requests = total((tenant) => tenant.requests);
  const byRequests = { basis: 'requests', source: 'measured' } as const;
  add('api', (requests / MILLION) * prices.apiMillion, byRequests);
  add('function-calls', (requests / MILLION) * prices.lambdaMillion, byRequests);
  const gbSeconds = (total(({ requestMs }) => requestMs) / 1_000) * assumptions.functionGb;
  add('function-time', gbSeconds * prices.lambdaGbSecond, { basis: 'request-time', source: 'measured' });
  add('transfer', (total(({ bytesOut }) => bytesOut) / GB) * prices.transferOutGb, {
    basis: 'bytes-out',
    source: 'measured',
  });
  const logGb = (requests * assumptions.logBytesPerRequest) / GB;
  // The aggregation reads each line about four times: three times by the hour, and by the day.
  add('logs', logGb * (prices.logGb + 4 * prices.logScanGb), { basis: 'requests', source: 'assumed' });
  add('moves', (total(({ movedBytes }) => movedBytes) / GB) * prices.transferZoneGb, {
    basis: 'bytes-moved',
    source: 'measured',
  });
  const backupGb = total((tenant) => tenant.keptBackupBytes * partOf(tenant)) / GB;
  add('backups', backupGb * prices.s3GbMonth.standard * months, { basis: 'backups', source: 'measured' });
  const billedUsers = Math.max(0, total((tenant) => tenant.users * partOf(tenant)) - prices.freeUsers);
  add('users', billedUsers * prices.userMonth * months, { basis: 'users', source: 'measured' });
  const tenantDays = total(({ existed }) => daysOf(existed));
  add('workflows', (tenantDays * assumptions.transitionsPerTenantDay * prices.transitionsMillion) / MILLION, {
    basis: 'tenants',
    source: 'assumed',
  });
  add('key-calls', (tenantDays * assumptions.keyCallsPerTenantDay * prices.keyCallMillion) / MILLION, {
    basis: 'tenants',
    source: 'assumed',
  });

  const standing = { basis: 'rest', source: 'configured', isStanding: true } as const;
  add('endpoints', installation.endpoints * prices.endpointHour * hours, standing);
  add('nat-gateways', installation.natGateways * prices.natHour * hours, standing);
  add('alarms', installation.alarmMetrics * prices.alarmMonth * months, standing);
  add('dashboards', installation.dashboards * prices.dashboardMonth * months, standing);
  add('metrics', installation.customMetrics * prices.metricMonth * months, standing);
  add('secrets', installation.secrets * prices.secretMonth * months, standing);
  add('keys', installation.keys * prices.keyMonth * months, standing);
  return lines;
}

/** Of a dedicated database. */
export function sizeOf(
  { dedicated }: Installation,
  { databaseSize }: Pick<TenantFigures, 'databaseSize'>,
): DedicatedSize {
  return dedicated[databaseSize ?? DEFAULT_DATABASE_SIZE];
}

/**
 * Dollars an hour of a dedicated database's instances, and of the proxy in front of them: it is billed for the writer, and
 * its endpoint for readers in each zone.
 */
export function hourlyOf(
  { instances, instanceClass, minCapacity = 0.5 }: DedicatedSize,
  { prices, installation: { zones } }: Pick<CostBasis, 'prices' | 'installation'>,
): { readonly instances: number; readonly proxy: number } {
  const readerEndpoint = instances > 1 ? zones * prices.endpointHour : 0;
  if (instanceClass === undefined) {
    return {
      instances: instances * minCapacity * prices.acuHour,
      proxy: Math.max(LEAST_PROXY_ACUS, minCapacity) * prices.proxyAcuHour + readerEndpoint,
    };
  }
  return {
    instances: instances * (prices.instanceHour[instanceClass] ?? 0),
    proxy: Math.max(LEAST_PROXY_VCPUS, vcpusOf(instanceClass)) * prices.proxyVcpuHour + readerEndpoint,
  };
}

/** Dollars a month of an Enterprise tenant's secrets, alarms, and key with its copies. */
export function fixedOfDedicated({
  prices: { secretMonth, alarmMonth, keyMonth },
  installation: { keyCopies },
}: Pick<CostBasis, 'prices' | 'installation'>): number {
  const { secrets, alarmMetrics, keys } = FIXED_OF_DEDICATED;
  return secrets * secretMonth + alarmMetrics * alarmMonth + keys * (1 + keyCopies) * keyMonth;
}

/** Of burstable and memory-optimised classes: two up to `large`, then four and doubling. */
function vcpusOf(instanceClass: string): number {
  const size = instanceClass.split('.').at(-1) ?? '';
  const [, factor] = /^(\d*)xlarge$/.exec(size) ?? [];
  return factor === undefined ? 2 : 4 * Number(factor || 1);
}
