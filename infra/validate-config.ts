import { BlockList, isIPv4 } from 'node:net';
import { DATABASE_SIZES } from '../functions/contracts/database-size.ts';
import {
  type CapacityConfig,
  CONTROL_PLANE_CIDR,
  type DedicatedSizeConfig,
  MAX_BUSINESS_TENANTS,
  type RegionConfig,
  type StrataConfig,
} from './config.ts';
import { priceProblems } from './prices.ts';
import { promotionProblems } from './promotion-config.ts';

/** Log retentions that CloudWatch Logs accepts, in days. */
const LOG_RETENTIONS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** In days; the clean-up's execution has two more for its work. */
const MAX_GRACE_MINUTES = 24 * 60;

/** The execution that waits for it ends within a year. */
const MAX_KEEP_DAYS = 90;

/** Ten years. */
const MAX_ARCHIVE_DAYS = 3_653;

/** The template of dedicated databases has so many. */
const MAX_DEDICATED_READERS = 2;

/** The longest pause of any move; requests wait that long. */
const MAX_PAUSE_MS = 1_000;
/** A copy with a smaller share would not end in time. */
const MIN_DUTY_CYCLE = 0.1;

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
 * Returns the configuration unchanged when it can be deployed.
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
  problems.push(...overlapProblems(candidate.regions));
  for (const region of candidate.regions) problems.push(...regionProblems(region));
  problems.push(...capacityProblems('registry', candidate.registry));
  problems.push(...promotionProblems(candidate.promotion));
  problems.push(...priceProblems(candidate));
  require(LOG_RETENTIONS.includes(
    candidate.logRetentionDays,
  ), `logRetentionDays is ${candidate.logRetentionDays}, CloudWatch accepts ${LOG_RETENTIONS.join(', ')}`);
  problems.push(...backupProblems(candidate));
  problems.push(...awsBackupProblems(candidate));
  problems.push(...signInProblems(candidate));
  problems.push(...credentialProblems(candidate));
  problems.push(...offboardingProblems(candidate));
  const { dutyCycle, graceMinutes, keepDedicated, maxPauseMs } = candidate.moves;
  require(dutyCycle >= MIN_DUTY_CYCLE &&
    dutyCycle <= 1, `moves.dutyCycle is ${dutyCycle}, expected ${MIN_DUTY_CYCLE} to 1`);
  for (const name of ['replicationTls', 'replicationTlsBetweenRegions'] as const) {
    const tls = candidate.moves[name];
    require(/^sslmode=(?:require|verify-ca|verify-full)(?: sslrootcert=[\w./-]+)?$/.test(
      tls,
    ), `moves.${name} is "${tls}", expected such as sslmode=verify-full sslrootcert=/a/file.pem`);
  }
  require(isWhole(
    graceMinutes,
    1,
    MAX_GRACE_MINUTES,
  ), `moves.graceMinutes is ${graceMinutes}, expected 1 to ${MAX_GRACE_MINUTES}`);
  require(keepDedicated === undefined ||
    isWhole(
      keepDedicated,
      1,
      MAX_KEEP_DAYS,
    ), `moves.keepDedicated is ${keepDedicated}, expected 1 to ${MAX_KEEP_DAYS} days, or nothing`);
  require(isWhole(
    maxPauseMs,
    10,
    MAX_PAUSE_MS,
  ), `moves.maxPauseMs is ${maxPauseMs}, expected 10 to ${MAX_PAUSE_MS}`);
  const { archiveDays } = candidate.events;
  require(archiveDays === undefined ||
    isWhole(
      archiveDays,
      1,
      MAX_ARCHIVE_DAYS,
    ), `events.archiveDays is ${archiveDays}, expected 1 to ${MAX_ARCHIVE_DAYS} days, or nothing`);
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

/** Each has a client, and a JWT authorizer takes 50 audiences; two clients are our own. */
const MAX_PROVIDERS = 48;

function signInProblems({ signIn, regions }: StrataConfig): string[] {
  const problems: string[] = [];
  const { domainPrefix, emailFrom, identityProviders } = signIn;
  if (domainPrefix !== undefined) {
    // What Cognito refuses.
    const isPrefix = /^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?$/.test(domainPrefix);
    if (!isPrefix || /aws|amazon|cognito/.test(domainPrefix)) {
      problems.push(
        `signIn.domainPrefix is "${domainPrefix}", expected lower-case letters, digits and hyphens, without aws, amazon and cognito`,
      );
    }
  }
  if (emailFrom !== undefined && !/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(emailFrom)) {
    problems.push(`signIn.emailFrom is "${emailFrom}", expected an e-mail address`);
  }
  for (const provider of identityProviders) {
    const place = `signIn.identityProviders: ${provider.name}`;
    // Cognito's own name of accounts of the pool.
    if (!/^[A-Za-z][A-Za-z0-9]{1,31}$/.test(provider.name) || /^cognito$/i.test(provider.name)) {
      problems.push(`${place} is no name: expected 2 to 32 letters and digits, beginning with a letter`);
    }
    if (!regions.some(({ key }) => key === provider.region)) {
      problems.push(`${place}: "${provider.region}" is no region`);
    }
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(provider.tenant)) {
      problems.push(`${place}: "${provider.tenant}" is no slug of a tenant`);
    }
    const url = provider.kind === 'oidc' ? provider.issuer : provider.metadataUrl;
    if (!/^https:\/\/[^\s/]+/.test(url)) problems.push(`${place}: "${url}" is no https URL`);
  }
  for (const { key } of regions) {
    const count = identityProviders.filter(({ region }) => region === key).length;
    if (count > MAX_PROVIDERS) {
      problems.push(`signIn.identityProviders: region ${key} has ${count}, at most ${MAX_PROVIDERS} fit`);
    }
  }
  for (const field of ['name', 'tenant'] as const) {
    const values = identityProviders.map((one) => one[field]);
    if (new Set(values).size < values.length) {
      problems.push(`signIn.identityProviders must differ in ${field}, got ${values.join(', ')}`);
    }
  }
  return problems;
}

/** The execution of an offboarding waits for it, and ends within a year. */
const MAX_OFFBOARDING_MINUTES = 90 * 24 * 60;

function offboardingProblems({ offboarding }: StrataConfig): string[] {
  const { graceMinutes, noticeDays, subscriptionGraceDays, suspendedDays } = offboarding;
  const days = { subscriptionGraceDays, suspendedDays };
  return [
    ...(isWhole(graceMinutes, 1, MAX_OFFBOARDING_MINUTES)
      ? []
      : [`offboarding.graceMinutes is ${graceMinutes}, expected 1 to ${MAX_OFFBOARDING_MINUTES}`]),
    ...(noticeDays.every((each) => isWhole(each, 1, 365))
      ? []
      : [`offboarding.noticeDays is ${noticeDays.join(', ')}, expected numbers from 1 to 365`]),
    ...Object.entries(days)
      .filter(([, value]) => !isWhole(value, 0, 3_650))
      .map(([name, value]) => `offboarding.${name} is ${value}, expected 0 to 3650`),
  ];
}

/** Two weeks: what is kept takes as much room as the tenant. */
const MAX_AWS_BACKUP_DAYS = 3_650;
const MAX_CREDENTIAL_DAYS = 365;
/** Containers use the place of a tenant for 15 minutes while the registry does not answer. */
const MIN_OVERLAP_MINUTES = 16;
const MAX_OVERLAP_MINUTES = 240;
const MAX_UNDO_HOURS = 336;

function awsBackupProblems({ backups: { awsBackup }, regions }: StrataConfig): string[] {
  if (!awsBackup) return [];
  const { schedule, retentionDays, copyToRegion = {} } = awsBackup;
  const problems: string[] = [];
  if (!/^cron\(.+\)$/.test(schedule)) {
    problems.push(`backups.awsBackup.schedule is "${schedule}", expected such as cron(0 3 * * ? *)`);
  }
  if (!Number.isSafeInteger(retentionDays) || retentionDays < 1 || retentionDays > MAX_AWS_BACKUP_DAYS) {
    problems.push(
      `backups.awsBackup.retentionDays is ${retentionDays}, expected 1 to ${MAX_AWS_BACKUP_DAYS}`,
    );
  }
  for (const [key, awsRegion] of Object.entries(copyToRegion)) {
    const region = regions.find((one) => one.key === key);
    if (!region) problems.push(`backups.awsBackup.copyToRegion names ${key}, which is no region`);
    else if (awsRegion === region.awsRegion) {
      problems.push(`backups.awsBackup.copyToRegion.${key} is ${awsRegion}, the region itself`);
    }
  }
  return problems;
}

function credentialProblems({ credentials }: StrataConfig): string[] {
  const { overlapMinutes, ...days } = credentials;
  const problems = Object.entries(days)
    .filter(([, value]) => !Number.isSafeInteger(value) || value < 1 || value > MAX_CREDENTIAL_DAYS)
    .map(([name, value]) => `credentials.${name} is ${value}, expected 1 to ${MAX_CREDENTIAL_DAYS} days`);
  if (
    !Number.isSafeInteger(overlapMinutes) ||
    overlapMinutes < MIN_OVERLAP_MINUTES ||
    overlapMinutes > MAX_OVERLAP_MINUTES
  ) {
    problems.push(
      `credentials.overlapMinutes is ${overlapMinutes}, expected ${MIN_OVERLAP_MINUTES} to ${MAX_OVERLAP_MINUTES}`,
    );
  }
  return problems;
}

function backupProblems({ backups, regions }: StrataConfig): string[] {
  const second = Object.entries(backups.secondRegions ?? {});
  const problems = second.flatMap(([key, awsRegion]) => {
    const region = regions.find((one) => one.key === key);
    if (!region) return [`backups.secondRegions names ${key}, which is no region`];
    if (!/^[a-z]{2}(-[a-z]+)+-\d$/.test(awsRegion) || awsRegion === region.awsRegion) {
      return [
        `backups.secondRegions.${key} is "${awsRegion}", expected another AWS region than ${region.awsRegion}`,
      ];
    }
    return [];
  });
  const { undoHours } = backups;
  if (!Number.isSafeInteger(undoHours) || undoHours < 1 || undoHours > MAX_UNDO_HOURS) {
    problems.push(`backups.undoHours is ${undoHours}, expected 1 to ${MAX_UNDO_HOURS}`);
  }
  if (backups.copyBusiness && second.length === 0) {
    problems.push('backups.copyBusiness is set without backups.secondRegions');
  }
  return problems;
}

/** Networks that overlap can never be peered. */
function overlapProblems(regions: readonly RegionConfig[]): string[] {
  const networks = [
    { name: 'the control plane', cidr: CONTROL_PLANE_CIDR },
    ...regions.map(({ key, cidr }) => ({ name: `region ${key}`, cidr })),
  ];
  return networks.flatMap((one, index) =>
    networks
      .slice(index + 1)
      .filter((other) => rangesOverlap(one.cidr, other.cidr))
      .map(
        (other) =>
          `address ranges must not overlap: ${one.name} has ${one.cidr}, ${other.name} has ${other.cidr}`,
      ),
  );
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
    problems.push(`${name}: s3PrefixListId "${region.s3PrefixListId}" is not a prefix list`);
  if (region.cells.length === 0) problems.push(`${name}: has no cell`);
  if (new Set(region.cells.map(({ id }) => id)).size !== region.cells.length)
    problems.push(`${name}: cell ids must be unique`);
  for (const { id, maxBusinessTenants, cache, ...capacity } of region.cells) {
    if (cache && !isWhole(cache.maxStorageGb, 1, 5_000))
      problems.push(`cell ${id}: cache.maxStorageGb is ${cache.maxStorageGb}, expected 1 to 5000`);
    if (cache && !isWhole(cache.maxEcpuPerSecond, 1_000, 15_000_000))
      problems.push(
        `cell ${id}: cache.maxEcpuPerSecond is ${cache.maxEcpuPerSecond}, expected 1000 to 15000000`,
      );
    if (!new RegExp(`^${region.key}-[1-9]\\d{0,2}$`).test(id))
      problems.push(`cell ${id}: id must be ${region.key}-1, ${region.key}-2, …`);
    if (!isWhole(maxBusinessTenants, 0, MAX_BUSINESS_TENANTS))
      problems.push(
        `cell ${id}: maxBusinessTenants is ${maxBusinessTenants}, at most ${MAX_BUSINESS_TENANTS} fit behind one RDS Proxy`,
      );
    problems.push(...capacityProblems(`cell ${id}`, capacity));
  }
  for (const size of DATABASE_SIZES)
    problems.push(...sizeProblems(`${name}: dedicated.sizes.${size}`, region.dedicated.sizes[size]));
  return problems;
}

function sizeProblems(name: string, { instanceClass, capacity, readers }: DedicatedSizeConfig): string[] {
  const problems: string[] = [];
  if (!/^db\.[a-z0-9]+(?:\.[a-z0-9]+)?$/.test(instanceClass))
    problems.push(`${name}: instanceClass is "${instanceClass}", expected such as db.t4g.medium`);
  if ((instanceClass === 'db.serverless') !== (capacity !== undefined))
    problems.push(`${name}: capacity is for db.serverless, and only for it`);
  if (!isWhole(readers, 0, MAX_DEDICATED_READERS))
    problems.push(`${name}: readers is ${readers}, expected 0 to ${MAX_DEDICATED_READERS}`);
  if (capacity)
    problems.push(
      ...capacityProblems(name, { minCapacity: capacity.min, maxCapacity: capacity.max, readers: 0 }),
    );
  return problems;
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

/**
 * True when two IPv4 address ranges, such as `10.16.0.0/16`, have an address in common. Text that is not a range
 * overlaps nothing.
 */
export function rangesOverlap(one: string, other: string): boolean {
  // When two ranges overlap, one contains the other.
  return holdsStartOf(one, other) || holdsStartOf(other, one);
}

function holdsStartOf(range: string, other: string): boolean {
  const [address = '', bits] = range.split('/');
  const [start = '', otherBits] = other.split('/');
  if (!isIPv4(address) || !isIPv4(start) || !isPrefix(bits) || !isPrefix(otherBits)) return false;
  const addresses = new BlockList();
  addresses.addSubnet(address, Number(bits));
  return addresses.check(start);
}

const isPrefix = (bits: string | undefined): boolean => /^(?:\d|[12]\d|3[0-2])$/.test(bits ?? '');
