/**
 * Everything that differs between installations of Strata, in one place. Only stacks read it. A setting that cannot do
 * harm has a default here; validate-config.ts checks the others.
 */

import type { CredentialsPolicy } from '../functions/contracts/credentials-policy.ts';
import type { DatabaseSize } from '../functions/contracts/database-size.ts';
import type { OffboardingPolicy } from '../functions/contracts/offboarding-policy.ts';
import type { PromotionPolicy } from '../functions/contracts/promotion-policy.ts';
import { type PricesConfig, prices } from './prices.ts';
import { promotion } from './promotion-config.ts';

/**
 * RDS Proxy takes 200 secrets; without those of the owner, the starter role and moves' targets, 190 are left for
 * Business tenants.
 */
export const MAX_BUSINESS_TENANTS = 190;

/** Address range of the registry's own network in the home region. */
export const CONTROL_PLANE_CIDR = '10.15.0.0/16';

/** Capacity of one Aurora Serverless v2 cluster. */
export interface CapacityConfig {
  /** Aurora capacity units (2 GiB of memory each) that are always on, 0.5 to 256 in steps of 0.5. */
  readonly minCapacity: number;
  /** The most Aurora capacity units it may scale to. This also limits `max_connections`. */
  readonly maxCapacity: number;
  /** Instances beside the writer, for failover into another zone, 0 to 15. */
  readonly readers: number;
}

/**
 * ElastiCache Serverless for Valkey: the second layer of the cache, and the limits of requests. What it costs is in
 * docs/deploy.md.
 */
export interface CacheConfig {
  /** The most data that it keeps, in GB: beyond it evicts. 1 to 5,000. */
  readonly maxStorageGb: number;
  /** The most ElastiCache processing units per second: beyond it refuses. 1,000 to 15,000,000. */
  readonly maxEcpuPerSecond: number;
}

/** One Aurora cluster with its proxy for Starter rows and Business schemas. */
export interface CellConfig extends CapacityConfig {
  /** `<region key>-<number>`. It is part of the names of secrets, cluster and proxy: never reuse or rename one. */
  readonly id: string;
  /** Business tenants the cell accepts, at most 190: add a cell instead of raising it. */
  readonly maxBusinessTenants: number;
  /**
   * Absent: the cell has no cache. A region with a cache in some of its cells uses these for all of its tenants, Enterprise
   * tenants included.
   */
  readonly cache?: CacheConfig;
}

/** The instances of a dedicated database. */
export interface DedicatedSizeConfig {
  /** Of writer and readers: `db.serverless`, which needs `capacity`, or a fixed class that Aurora PostgreSQL 17 has. */
  readonly instanceClass: string;
  /** Of each instance, in Aurora capacity units (2 GiB of memory each), 0.5 to 256 in steps of 0.5. */
  readonly capacity?: { readonly min: number; readonly max: number };
  /** Instances beside the writer, each in another zone than the one before, 0 to 2: the template has two. */
  readonly readers: number;
}

/** Enterprise tenants' own databases. A changed size is the size of later launches: existing databases stay as they are. */
export interface DedicatedConfig {
  readonly sizes: Readonly<Record<DatabaseSize, DedicatedSizeConfig>>;
}

export interface RegionConfig {
  /** Short name: the tenants' `dataResidency`, and part of stack names and cell ids. */
  readonly key: string;
  readonly awsRegion: string;
  /**
   * Two or three zones. Listed here because a synth must not need an account to look them up. The letters map to
   * different zones in different accounts, and RDS Proxy is missing in a few zones: choose another one if the proxy
   * refuses a subnet.
   */
  readonly availabilityZones: readonly string[];
  /** Address range of the region's VPC. Ranges of regions must not overlap, because their networks are peered. */
  readonly cidr: string;
  /**
   * AWS's own prefix list of S3 in that region (`aws ec2 describe-prefix-lists`), the only destination outside of the
   * VPC.
   */
  readonly s3PrefixListId: string;
  readonly cells: readonly CellConfig[];
  readonly dedicated: DedicatedConfig;
}

/** Settings of moves. */
export interface MoveConfig {
  /** Minutes between the commit of a hop and the clean-up of its source. */
  readonly graceMinutes: number;
  /**
   * Days that a dedicated database is kept after its tenant's move and clean-up, 1 to 90; it costs as much as before.
   * Absent: it is deleted at once. A final snapshot is taken in any case.
   */
  readonly keepDedicated?: number;
  /**
   * How long a move may pause the tenant's writes at first, milliseconds; only after many tries the pause may be
   * longer.
   */
  readonly maxPauseMs: number;
  /**
   * The share of the time in which the copy of a Starter or Business tenant within its cell works; the rest of the time
   * is left to the cell's other tenants. Above 0 and up to 1; 1 never rests.
   */
  readonly dutyCycle: number;
  /**
   * How a cluster checks the certificate of a replication source, as libpq parameters: at least `sslmode=require`.
   * Every Aurora cluster has its region's RDS authorities in that file.
   */
  readonly replicationTls: string;
  /**
   * The same for a source in another region, which has other authorities: `sslmode=require`, encrypted and not
   * verified, until `verify-full` has been tested there.
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
  /** Hours for which a restore can be undone: what it replaced is kept beside the tenant's data for so long. */
  readonly undoHours: number;
  /** Snapshots of whole clusters by AWS Backup; none when absent. They cost extra: docs/deploy.md. */
  readonly awsBackup?: AwsBackupConfig;
}

/** Snapshots of dedicated databases and cells in a vault of AWS Backup, beside the clusters' own continuous backup. */
export interface AwsBackupConfig {
  /** Such as `cron(0 3 * * ? *)`, in UTC. */
  readonly schedule: string;
  readonly retentionDays: number;
  /**
   * By region key, the AWS region that snapshots are copied to. Its vault `strata-<region key>-clusters` must exist there,
   * and tenants' residency must allow it.
   */
  readonly copyToRegion?: Readonly<Record<string, string>>;
  /**
   * Until a snapshot expires nobody can delete it, but, with `governance`, a principal that may remove the lock. With
   * `compliance` the lock, and the vault, can no longer be removed three days after their creation.
   */
  readonly vaultLock?: 'governance' | 'compliance';
}

/** Passwords of database roles: how old they may become, in days, before the schedule replaces them. */
export interface CredentialsConfig extends CredentialsPolicy {
  /**
   * Minutes for which both logins of a role work after each switch. Longer than any function keeps the place of a tenant
   * while the registry does not answer, which is 15 minutes.
   */
  readonly overlapMinutes: number;
}

/**
 * A customer's own identity provider. It vouches for the users of one tenant only: whatever address it states, nobody
 * whom it has signed in gets a token of another tenant. The tenant's users cannot sign in otherwise.
 */
export type IdentityProviderConfig = {
  /** Letters and digits. It is part of the names of its users: never change it. */
  readonly name: string;
  /** Slug of the tenant. */
  readonly tenant: string;
  /** Key of the region that serves the tenant. */
  readonly region: string;
} & (
  | {
      readonly kind: 'oidc';
      readonly issuer: string;
      readonly clientId: string;
      /** Name of a secret of Secrets Manager in that region, whose text is the client's secret. */
      readonly clientSecretName: string;
    }
  | { readonly kind: 'saml'; readonly metadataUrl: string }
);

/** How people sign in. */
export interface SignInConfig {
  /**
   * The sign-in page is at `https://<domainPrefix>-<region key>.auth.<AWS region>.amazoncognito.com`; by default with
   * the account's number.
   */
  readonly domainPrefix?: string;
  /**
   * Sender of invitations: an address that SES has verified in each region. Without it Cognito sends them itself, 50 a
   * day at most.
   */
  readonly emailFrom?: string;
  readonly identityProviders: readonly IdentityProviderConfig[];
}

/** The bus of a region's events. */
export interface EventsConfig {
  /** Days for which EventBridge keeps the events, so that they can be replayed. Absent: it keeps none. */
  readonly archiveDays?: number;
}

export interface StrataConfig {
  /** The first region is home: it has the control plane. */
  readonly regions: readonly RegionConfig[];
  /** The registry of every region. */
  readonly registry: CapacityConfig;
  /** Send statements without waiting for the answer of the previous one. Off until verified against RDS Proxy. */
  readonly databasePipeline: 'on' | 'off';
  /** Oldest version of TLS that functions accept from proxies and clusters. Both offer TLS 1.3. */
  readonly databaseTls: 'TLSv1.3' | 'TLSv1.2';
  readonly logLevel: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  /** Days to keep logs of functions, databases, APIs and state machines. */
  readonly logRetentionDays: number;
  /** What is kept and for how long is policy by tier: functions/contracts/backup-policy.ts. */
  readonly backups: BackupConfig;
  readonly moves: MoveConfig;
  readonly credentials: CredentialsConfig;
  readonly events: EventsConfig;
  readonly signIn: SignInConfig;
  /** When tenants are offboarded: by request, and because their subscriptions end. */
  readonly offboarding: OffboardingPolicy;
  /** Requests per second and burst that one API accepts, of all tenants together. */
  readonly throttling: { readonly rate: number; readonly burst: number };
  /** Browser origins that may call the APIs. */
  readonly allowedOrigins: readonly string[];
  /**
   * Serve tenants at `https://{slug}.<domainName>` and operators at `https://operator.<domainName>`; further
   * regions at `https://{slug}.<region key>.<domainName>`.
   */
  readonly domainName?: string;
  /** Route 53 zone of `domainName`. Without it the deployment waits for a DNS record that an operator must add. */
  readonly hostedZoneId?: string;
  /** Receives every alarm, and the notices about offers to tenants. */
  readonly alarmEmail?: string;
  /** When tenants are promoted, and which tenants are offered Enterprise. */
  readonly promotion: PromotionPolicy;
  /** List prices, of which costs and margins are computed: check them, because AWS changes them. */
  readonly prices: PricesConfig;
  /** Added to every resource, beside `strata:component` and `strata:region`. */
  readonly tags: Readonly<Record<string, string>>;
  /**
   * Switch it off only for throw-away installations: clusters can then be deleted, although stacks still retain them.
   * Templates never set protection; a custom resource, and the launch of a dedicated database, set it after the
   * cluster's creation.
   */
  readonly deletionProtection: boolean;
}

/** The cache of a cell that gets one: `cell('us-1')` with `cache` beside it. Its limits bound its price. */
export const smallCache: CacheConfig = { maxStorageGb: 5, maxEcpuPerSecond: 10_000 };

const cell = (id: string): CellConfig => ({
  id,
  minCapacity: 0.5,
  maxCapacity: 16,
  readers: 1,
  maxBusinessTenants: MAX_BUSINESS_TENANTS,
});

/** In the strategy's three bands of 50 to 100, 200 to 500, and from 1,000 USD a month: docs/deploy.md has the prices. */
const dedicated: DedicatedConfig = {
  sizes: {
    small: { instanceClass: 'db.t4g.medium', readers: 0 },
    medium: { instanceClass: 'db.serverless', capacity: { min: 1, max: 16 }, readers: 1 },
    large: { instanceClass: 'db.r6g.xlarge', readers: 2 },
  },
};

/** Regions in which Strata can run. `config.regions` selects those that it uses. */
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
  databaseTls: 'TLSv1.3',
  logLevel: 'INFO',
  logRetentionDays: 90,
  backups: { undoHours: 72 },
  moves: {
    graceMinutes: 10,
    maxPauseMs: 50,
    dutyCycle: 0.5,
    replicationTls: 'sslmode=verify-full sslrootcert=/rdsdbdata/rds-metadata/ca-cert.pem',
    replicationTlsBetweenRegions: 'sslmode=require',
  },
  credentials: { tenantDays: 90, cellDays: 30, ownerDays: 30, registryDays: 30, overlapMinutes: 20 },
  events: {},
  signIn: { identityProviders: [] },
  offboarding: {
    graceMinutes: 7 * 24 * 60,
    noticeDays: [30, 7, 1],
    subscriptionGraceDays: 14,
    suspendedDays: 30,
  },
  throttling: { rate: 2000, burst: 1000 },
  allowedOrigins: ['*'],
  promotion,
  prices,
  tags: { 'strata:application': 'strata' },
  deletionProtection: true,
};
