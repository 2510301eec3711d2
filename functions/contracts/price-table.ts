/**
 * Prices and what an installation consists of: what a bill is computed from. `infra/prices.ts` has the prices; each
 * deployment writes its region's `CostBasis` to the registry (`price_tables`), and the operators' API reads it there.
 */

import type { DatabaseSize } from './database-size.ts';

/** Prices of one AWS region, in US dollars. A GB is 10^9 bytes; a month has 730 hours. */
export interface RegionPrices {
  /** Aurora Serverless v2, an ACU for an hour. */
  readonly acuHour: number;
  /** Provisioned Aurora instances, an hour of each class. */
  readonly instanceHour: Readonly<Record<string, number>>;
  /** The same, with a reservation of one year without upfront payment. */
  readonly reservedInstanceHour: Readonly<Record<string, number>>;
  /** RDS Proxy in front of Serverless v2, an ACU for an hour; at least eight are billed. */
  readonly proxyAcuHour: number;
  /** RDS Proxy in front of a provisioned instance, a vCPU for an hour; at least two are billed. */
  readonly proxyVcpuHour: number;
  readonly storageGbMonth: number;
  /** A million I/O requests of Aurora. */
  readonly ioMillion: number;
  /** Backups of Aurora beyond the size of the cluster. */
  readonly clusterBackupGbMonth: number;
  readonly s3GbMonth: { readonly standard: number; readonly infrequentAccess: number };
  /** ElastiCache Serverless for Valkey: a GB for an hour, 0.1 GB at least, and a million ECPUs. */
  readonly cacheGbHour: number;
  readonly cacheMillion: number;
  /** An interface endpoint, or a proxy's own endpoint for readers, in one zone for an hour. */
  readonly endpointHour: number;
  readonly natHour: number;
  readonly lambdaGbSecond: number;
  readonly lambdaMillion: number;
  /** A million requests of an HTTP API. */
  readonly apiMillion: number;
  /** A million state transitions. */
  readonly transitionsMillion: number;
  /** A metric that an alarm watches, for a month. */
  readonly alarmMonth: number;
  /**
   * A dashboard, for a month. An account's first three are free while each shows at most 50 metrics; that of a region
   * shows more.
   */
  readonly dashboardMonth: number;
  /** A custom metric, for a month. */
  readonly metricMonth: number;
  /** Ingestion of logs. */
  readonly logGb: number;
  /** Logs Insights, of scanned logs. */
  readonly logScanGb: number;
  /** A user with an account who signs in, for a month, beyond the free ones. */
  readonly userMonth: number;
  readonly freeUsers: number;
  readonly keyMonth: number;
  /** A million calls of KMS. */
  readonly keyCallMillion: number;
  readonly secretMonth: number;
  readonly transferOutGb: number;
  /** Between availability zones, both directions. */
  readonly transferZoneGb: number;
}

/** What the bill needs and is not measured. Each is a guess that an operator should compare with the bill. */
export interface CostAssumptions {
  /** I/O requests of Aurora for each request of the API. */
  readonly ioPerRequest: number;
  /** ECPUs of the cache for each request, where the cell has one. */
  readonly ecpusPerRequest: number;
  /** Of logs for each request: its own line, API Gateway's, Lambda's. */
  readonly logBytesPerRequest: number;
  /** State transitions for each tenant and day: backup, its share of the daily runs. */
  readonly transitionsPerTenantDay: number;
  readonly keyCallsPerTenantDay: number;
  /** Memory of the functions that serve requests, in GB. */
  readonly functionGb: number;
}

export interface InstalledCell {
  readonly id: string;
  readonly instances: number;
  readonly minCapacity: number;
  readonly maxCapacity: number;
  readonly hasCache: boolean;
}

/** A size of a dedicated database: provisioned instances, or ACUs of Serverless v2 when it has no class. */
export interface DedicatedSize {
  readonly instances: number;
  readonly instanceClass?: string;
  readonly minCapacity?: number;
  readonly maxCapacity?: number;
}

/** What a region's deployment consists of, whatever its tenants do. */
export interface Installation {
  readonly isHome: boolean;
  readonly registry: { readonly instances: number; readonly minCapacity: number };
  readonly cells: readonly InstalledCell[];
  /** What an Enterprise tenant's own database consists of, by its size. */
  readonly dedicated: Readonly<Record<DatabaseSize, DedicatedSize>>;
  /** Availability zones: an endpoint is billed in each. */
  readonly zones: number;
  /** Interface endpoints times zones. */
  readonly endpoints: number;
  readonly natGateways: number;
  /** Metrics that alarms watch. */
  readonly alarmMetrics: number;
  readonly dashboards: number;
  readonly customMetrics: number;
  readonly secrets: number;
  readonly keys: number;
  /** Of each tenant's own key. */
  readonly keyCopies: number;
}

/** What a region's bill is computed from. */
export interface CostBasis {
  /** Day of the price list, `YYYY-MM-DD`. */
  readonly asOf: string;
  readonly currency: 'USD';
  readonly region: string;
  readonly prices: RegionPrices;
  readonly assumptions: CostAssumptions;
  readonly installation: Installation;
}

export const HOURS_OF_A_MONTH = 730;
export const LEAST_PROXY_ACUS = 8;
export const LEAST_PROXY_VCPUS = 2;
export const LEAST_CACHE_GB = 0.1;
/** What the stack of a dedicated database makes beside cluster and proxy, and the tenant's own key. */
export const FIXED_OF_DEDICATED = { secrets: 3, alarms: 10, alarmMetrics: 12, keys: 1 } as const;
