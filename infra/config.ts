/**
 * Everything that differs between installations of Strata, in one place. Stacks read it; nothing else decides.
 * A setting that is safe to get wrong is a default here; one that is not is checked by validate-config.ts.
 */

import type { PromotionPolicy } from '../functions/contracts/promotion-policy.ts';
import { promotion } from './promotion-config.ts';

/** RDS Proxy takes 200 secrets; the owner's, the starter role's and a move's target leave 190 for Business tenants. */
export const MAX_BUSINESS_TENANTS = 190;

/** Address range of the registry's own network in the home region. */
export const CONTROL_PLANE_CIDR = '10.15.0.0/16';

/** Capacity of one Aurora Serverless v2 cluster. */
export interface CapacityConfig {
  /** Aurora capacity units (2 GiB of memory each) that are always on, 0.5 to 256 in steps of 0.5. */
  readonly minCapacity: number;
  /** Aurora capacity units it may grow to. It also bounds `max_connections`. */
  readonly maxCapacity: number;
  /** Instances beside the writer, for failover into another zone, 0 to 15. */
  readonly readers: number;
}

/** One Aurora cluster with its proxy that hosts Starter rows and Business schemas. */
export interface CellConfig extends CapacityConfig {
  /** `<region key>-<number>`. It names secrets, the cluster and the proxy: never reuse or rename one. */
  readonly id: string;
  /** Business tenants the cell accepts, at most 190: add a cell instead of raising it. */
  readonly maxBusinessTenants: number;
}

/** What every Enterprise tenant's own cluster starts with; an operator can resize a single one later. */
export interface DedicatedConfig {
  readonly minCapacity: number;
  readonly maxCapacity: number;
  /** The template has one optional reader. */
  readonly readers: 0 | 1;
}

export interface RegionConfig {
  /** Short name: it is the tenants' `dataResidency` and part of stack names and cell ids. */
  readonly key: string;
  readonly awsRegion: string;
  /**
   * Two or three zones. Stated, not looked up: a synth must not need an account. Letters mean different zones in
   * different accounts, and RDS Proxy is missing from a few zones: choose again if the proxy refuses a subnet.
   */
  readonly availabilityZones: readonly string[];
  /** Address range of the region's VPC. Regions must not overlap, or they can never be peered. */
  readonly cidr: string;
  /** AWS's own prefix list of S3 in that region (`aws ec2 describe-prefix-lists`): the only way out of the VPC. */
  readonly s3PrefixListId: string;
  readonly cells: readonly CellConfig[];
  readonly dedicated: DedicatedConfig;
}

/** How tenants are moved. */
export interface MoveConfig {
  /** Minutes that a place which a tenant has left is kept for before it is cleaned up. */
  readonly graceMinutes: number;
  /**
   * Days that a dedicated database which its tenant has left is kept for after the clean-up in it, 1 to 90; it costs as
   * much as before. Absent: it is deleted at once. A final snapshot is taken in any case.
   */
  readonly keepDedicated?: number;
  /** How long a move may pause the tenant's writes at first, milliseconds; it is tried again and again before it may be longer. */
  readonly maxPauseMs: number;
  /**
   * The share of the time in which the copy of a Starter or Business tenant within its cell works; in the rest of it
   * the cell's other tenants have the processors to themselves. Above 0, and up to 1, which never rests.
   */
  readonly dutyCycle: number;
  /**
   * How a cluster checks the certificate of the one that it replicates from, in libpq's words: at least
   * `sslmode=require`. Every Aurora cluster has its region's authorities of RDS in that file.
   */
  readonly replicationTls: string;
  /**
   * The same where the other cluster is in another region, whose authorities are others: `sslmode=require`, encrypted
   * and not verified, until `verify-full` has been tried there.
   */
  readonly replicationTlsBetweenRegions: string;
}

/** What tenants' backups have beyond what `BACKUP_POLICY` gives to each tier. */
export interface BackupConfig {
  /**
   * S3 Object Lock: until a backup expires nobody can delete or replace it, but, with `governance`, a principal that is
   * allowed to override it. It can be chosen for a new bucket only, and makes it versioned.
   */
  readonly objectLock?: 'governance' | 'compliance';
  /**
   * By region key, the AWS region that backups are copied to, such as `{ us: 'us-west-2' }`: Enterprise tenants' always
   * (the strategy's geo-redundancy), Business tenants' by `copyBusiness`. Choose one that tenants' residency allows.
   * It makes the buckets versioned.
   */
  readonly secondRegions?: Readonly<Record<string, string>>;
  readonly copyBusiness?: boolean;
}

export interface StrataConfig {
  /** The first region is home: it carries the control plane. */
  readonly regions: readonly RegionConfig[];
  /** The registry of every region. */
  readonly registry: CapacityConfig;
  /** Send statements without waiting for the answer of the one before. Off until verified against RDS Proxy. */
  readonly databasePipeline: 'on' | 'off';
  readonly logLevel: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  /** Days to keep logs of functions, databases, APIs and state machines. */
  readonly logRetentionDays: number;
  /** What is kept and for how long is policy by tier: functions/contracts/backup-policy.ts. */
  readonly backups: BackupConfig;
  readonly moves: MoveConfig;
  /** Requests per second and burst that one API accepts in all. */
  readonly throttling: { readonly rate: number; readonly burst: number };
  /** Browser origins that may call the APIs. */
  readonly allowedOrigins: readonly string[];
  /**
   * Serve tenants at `https://{slug}.<domainName>` and operators at `https://operator.<domainName>`; further
   * regions at `https://{slug}.<region key>.<domainName>`.
   */
  readonly domainName?: string;
  /** Route 53 zone of `domainName`. Without it the certificate waits for a DNS record made by hand. */
  readonly hostedZoneId?: string;
  /** Told about every alarm, and about offers to tenants. */
  readonly alarmEmail?: string;
  /** When tenants are promoted, and who is offered Enterprise. */
  readonly promotion: PromotionPolicy;
  /** Added to every resource, beside `strata:component` and `strata:region`. */
  readonly tags: Readonly<Record<string, string>>;
  /**
   * Off only for throw-away installations: clusters can then be deleted, though they are still retained. Templates never
   * say it; a custom resource, and the launch of a dedicated database, set it once a cluster is made.
   */
  readonly deletionProtection: boolean;
}

const cell = (id: string): CellConfig => ({
  id,
  minCapacity: 0.5,
  maxCapacity: 16,
  readers: 1,
  maxBusinessTenants: MAX_BUSINESS_TENANTS,
});

const dedicated: DedicatedConfig = { minCapacity: 0.5, maxCapacity: 16, readers: 1 };

/** Regions that Strata knows how to run in. `config.regions` says in which it does. */
export const knownRegions = {
  us: {
    key: 'us',
    awsRegion: 'us-east-1',
    availabilityZones: ['us-east-1a', 'us-east-1b', 'us-east-1c'],
    cidr: '10.16.0.0/16',
    s3PrefixListId: 'pl-63a5400a',
    cells: [cell('us-1')],
    dedicated,
  },
  eu: {
    key: 'eu',
    awsRegion: 'eu-west-1',
    availabilityZones: ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'],
    cidr: '10.17.0.0/16',
    s3PrefixListId: 'pl-6da54004',
    cells: [cell('eu-1')],
    dedicated,
  },
  apac: {
    key: 'apac',
    awsRegion: 'ap-southeast-1',
    availabilityZones: ['ap-southeast-1a', 'ap-southeast-1b', 'ap-southeast-1c'],
    cidr: '10.18.0.0/16',
    s3PrefixListId: 'pl-6fa54006',
    cells: [cell('apac-1')],
    dedicated,
  },
} satisfies Record<string, RegionConfig>;

export const config: StrataConfig = {
  regions: [
    knownRegions.us,
    // knownRegions.eu,
    // knownRegions.apac,
  ],
  registry: { minCapacity: 0.5, maxCapacity: 4, readers: 1 },
  databasePipeline: 'off',
  logLevel: 'INFO',
  logRetentionDays: 90,
  backups: {},
  moves: {
    graceMinutes: 10,
    maxPauseMs: 50,
    dutyCycle: 0.5,
    replicationTls: 'sslmode=verify-full sslrootcert=/rdsdbdata/rds-metadata/ca-cert.pem',
    replicationTlsBetweenRegions: 'sslmode=require',
  },
  throttling: { rate: 2000, burst: 1000 },
  allowedOrigins: ['*'],
  promotion,
  tags: { 'strata:application': 'strata' },
  deletionProtection: true,
};
