/**
 * Everything that differs between installations of Strata, in one place. Stacks read it; nothing else decides.
 * A setting that is safe to get wrong is a default here; one that is not is checked by `validateConfig`.
 */

import { type PromotionConfig, promotion, promotionProblems } from './promotion-config.ts';

/** Log retentions that CloudWatch Logs accepts, in days. */
const LOG_RETENTIONS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** RDS Proxy takes 200 secrets; the owner's, the starter role's and a move's target leave 190 for Business tenants. */
const MAX_BUSINESS_TENANTS = 190;

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
  /** Days Aurora can go back to any second of; the strategy asks 35 for Enterprise. */
  readonly backupRetentionDays: number;
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
  readonly promotion: PromotionConfig;
  /** Added to every resource, beside `strata:component` and `strata:region`. */
  readonly tags: Readonly<Record<string, string>>;
  /** Off only for throw-away installations: clusters can then be deleted, though they are still retained. */
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
  backupRetentionDays: 35,
  throttling: { rate: 2000, burst: 1000 },
  allowedOrigins: ['*'],
  promotion,
  tags: { 'strata:application': 'strata' },
  deletionProtection: true,
};

/** The configuration is wrong; `problems` names every mistake, not only the first. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`infra/config.ts: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/**
 * The configuration above with what the environment overrides: `DB_PIPELINE` (`on` or `off`).
 * @throws {ConfigError}
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): StrataConfig {
  const pipeline = environment.DB_PIPELINE;
  if (pipeline && pipeline !== 'on' && pipeline !== 'off') {
    throw new ConfigError([`DB_PIPELINE is "${pipeline}", expected "on" or "off"`]);
  }
  return validateConfig({ ...config, ...(pipeline ? { databasePipeline: pipeline as 'on' | 'off' } : {}) });
}

/**
 * Answers the configuration unchanged when it can be deployed.
 * @throws {ConfigError} with every mistake found.
 */
export function validateConfig(candidate: StrataConfig): StrataConfig {
  const problems: string[] = [];
  const require = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(problem);
  };
  const unique = (values: readonly string[], what: string): void =>
    require(new Set(values).size === values.length, `${what} must be unique, got ${values.join(', ')}`);

  require(candidate.regions.length > 0, 'regions is empty, at least one is needed');
  unique(
    candidate.regions.map(({ key }) => key),
    'region keys',
  );
  unique(
    candidate.regions.map(({ awsRegion }) => awsRegion),
    'AWS regions',
  );
  unique(
    candidate.regions.map(({ cidr }) => cidr),
    'address ranges',
  );
  for (const { key, cidr } of candidate.regions) {
    require(cidr !== CONTROL_PLANE_CIDR, `region ${key}: ${cidr} is the control plane's network`);
  }
  for (const region of candidate.regions) problems.push(...regionProblems(region));
  problems.push(...capacityProblems('registry', candidate.registry));
  problems.push(...promotionProblems(candidate.promotion));
  require(LOG_RETENTIONS.includes(
    candidate.logRetentionDays,
  ), `logRetentionDays is ${candidate.logRetentionDays}, CloudWatch accepts ${LOG_RETENTIONS.join(', ')}`);
  require(isWhole(
    candidate.backupRetentionDays,
    1,
    35,
  ), `backupRetentionDays is ${candidate.backupRetentionDays}, Aurora accepts 1 to 35`);
  require(candidate.throttling.rate > 0 &&
    candidate.throttling.burst > 0, 'throttling.rate and throttling.burst must be positive');
  require(candidate.allowedOrigins.length > 0, 'allowedOrigins is empty; use ["*"] to allow every origin');
  require(candidate.domainName === undefined ||
    /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/.test(
      candidate.domainName,
    ), `domainName is "${candidate.domainName}", expected a bare domain such as app.example.com`);
  require(!candidate.hostedZoneId || !!candidate.domainName, 'hostedZoneId is set without domainName');
  require(candidate.alarmEmail === undefined ||
    /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(
      candidate.alarmEmail,
    ), `alarmEmail is "${candidate.alarmEmail}", expected an e-mail address`);
  if (problems.length > 0) throw new ConfigError(problems);
  return candidate;
}

function regionProblems(region: RegionConfig): string[] {
  const problems: string[] = [];
  const name = `region ${region.key}`;
  if (!/^[a-z][a-z0-9]{1,9}$/.test(region.key))
    problems.push(`${name}: key must be 2 to 10 lower-case letters or digits`);
  if (!/^[a-z]{2}(?:-[a-z]+)+-\d$/.test(region.awsRegion))
    problems.push(`${name}: "${region.awsRegion}" is no AWS region`);
  const zones = region.availabilityZones;
  if (zones.length < 2 || zones.length > 3 || new Set(zones).size !== zones.length)
    problems.push(`${name}: needs 2 or 3 different availability zones`);
  for (const zone of zones) {
    if (!zone.startsWith(region.awsRegion))
      problems.push(`${name}: zone ${zone} is not in ${region.awsRegion}`);
  }
  if (!/^10\.\d{1,3}\.0\.0\/16$/.test(region.cidr))
    problems.push(`${name}: cidr is "${region.cidr}", expected 10.x.0.0/16`);
  if (!/^pl-[0-9a-f]{8,17}$/.test(region.s3PrefixListId))
    problems.push(`${name}: s3PrefixListId "${region.s3PrefixListId}" is no prefix list`);
  if (region.cells.length === 0) problems.push(`${name}: has no cell`);
  if (new Set(region.cells.map(({ id }) => id)).size !== region.cells.length)
    problems.push(`${name}: cell ids must be unique`);
  for (const { id, maxBusinessTenants, ...capacity } of region.cells) {
    if (!new RegExp(`^${region.key}-[1-9]\\d{0,2}$`).test(id))
      problems.push(`cell ${id}: id must be ${region.key}-1, ${region.key}-2, …`);
    if (!isWhole(maxBusinessTenants, 0, MAX_BUSINESS_TENANTS))
      problems.push(
        `cell ${id}: maxBusinessTenants is ${maxBusinessTenants}, at most ${MAX_BUSINESS_TENANTS} fit behind one RDS Proxy`,
      );
    problems.push(...capacityProblems(`cell ${id}`, capacity));
  }
  return [...problems, ...capacityProblems(`${name}: dedicated`, region.dedicated)];
}

function capacityProblems(name: string, { minCapacity, maxCapacity, readers }: CapacityConfig): string[] {
  const problems: string[] = [];
  for (const [setting, value] of Object.entries({ minCapacity, maxCapacity })) {
    if (!(value >= 0.5 && value <= 256 && Number.isInteger(value * 2)))
      problems.push(`${name}: ${setting} is ${value}, expected 0.5 to 256 in steps of 0.5`);
  }
  // Aurora refuses a maximum of 0.5.
  if (maxCapacity < Math.max(minCapacity, 1))
    problems.push(
      `${name}: maxCapacity ${maxCapacity} must be at least 1 and not below minCapacity ${minCapacity}`,
    );
  if (!isWhole(readers, 0, 15)) problems.push(`${name}: readers is ${readers}, expected 0 to 15`);
  return problems;
}

const isWhole = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most;
