/**
 * Where every byte of a tenant is, which rule demands it, and what violates a rule or would. A pure function of the
 * registries' facts and the configuration: it asks neither AWS nor a database.
 *
 * The rules are
 *   residency    the data stays in the jurisdiction of the region that serves the tenant's `dataResidency`
 *   compliance   each requirement demands an isolation model (contracts/compliance.ts)
 *   tier         the isolation model and the backups that the tier promises (contracts/backup-policy.ts)
 */
import { isMultiRegion } from '../aws/key-copies.ts';
import { SEAL_COPY_DAYS } from '../contracts/audit-copies.ts';
import {
  BACKUP_POLICY,
  clusterRetentionDays,
  copiedTiers,
  EXPORT_POLICY,
  TIERS,
} from '../contracts/backup-policy.ts';
import { unsatisfied } from '../contracts/compliance.ts';
import {
  copiedFieldKeyAlias,
  DATA_DATABASE,
  REGISTRY_DATABASE,
  regionFieldKeyAlias,
} from '../contracts/names.ts';
import { FORMER_ACCOUNT_DAYS } from '../contracts/offboarding-policy.ts';
import { jurisdictionOf, type ResidencySettings, readersOfSize } from '../contracts/residency.ts';
import type { Tier } from '../contracts/tenant.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import type { KnownHop, KnownPlace, ResidencyFacts } from './residency-facts.ts';

export const DATA_KINDS = [
  'database',
  'read-replicas',
  'cluster-backups',
  'final-snapshot',
  'object-backups',
  'object-backup-copies',
  'exports',
  'audit-seal-copies',
  'former-place',
  'next-place',
  'side-cluster',
  'cache',
  'logs',
  'registry',
  'directory',
  'user-accounts',
  'secrets',
  'field-keys',
] as const;

/** One kind of data in one region of AWS. */
export interface ResidentData {
  readonly kind: (typeof DATA_KINDS)[number];
  /** In words, for people. */
  readonly where: string;
  /** Key of the region; null for a second region, which has no key. */
  readonly region: string | null;
  readonly awsRegion: string;
  /** Zones; empty where AWS spreads it over all zones of the region. */
  readonly zones: readonly string[];
  /** What a policy deletes it after, in days; null for data that is kept as long as the tenant is. */
  readonly keptDays: number | null;
  /** RFC 3339: when the last of it goes, if that is known. */
  readonly until: string | null;
  readonly rules: readonly RuleName[];
  readonly violates: readonly RuleName[];
}

export type RuleName = 'residency' | 'compliance' | 'tier';

export interface ResidencyRule {
  readonly rule: RuleName;
  readonly demands: string;
}

export interface RuleBreak {
  readonly rule: RuleName;
  readonly detail: string;
}

export interface ResidencyReport {
  readonly tenantId: string;
  readonly slug: string;
  readonly dataResidency: string;
  readonly complianceRequirements: readonly string[];
  /** Key of the region that serves the tenant. */
  readonly region: string;
  /** Of the region that serves the residency; the data must stay in it. */
  readonly jurisdiction: string;
  readonly data: readonly ResidentData[];
  readonly rules: readonly ResidencyRule[];
  /** Empty when everything is as the rules demand. */
  readonly violations: readonly RuleBreak[];
  /** Changes that an operator could make, and the rule that each of them would violate. */
  readonly wouldViolate: readonly (RuleBreak & { readonly change: string })[];
}

const MS_PER_DAY = 24 * 60 * 60_000;
const after = (since: string, days: number): string =>
  new Date(Date.parse(since) + days * MS_PER_DAY).toISOString();

/** @param at the time of the report. */
export function residencyReport(
  facts: ResidencyFacts,
  settings: ResidencySettings,
  at: Date,
): ResidencyReport {
  const { tenant } = facts;
  const served = settings.regions[tenant.dataResidency] ?? settings.regions[tenant.region];
  const jurisdiction = jurisdictionOf(served?.awsRegion ?? tenant.region);
  const data = locations(facts, settings, at).map((each) => {
    const outside = jurisdictionOf(each.awsRegion) !== jurisdiction && each.rules.includes('residency');
    const tooWeak =
      each.kind === 'database' &&
      unsatisfied(tenant.complianceRequirements, facts.place?.isolationModel ?? tenant.isolationModel)
        .length > 0;
    const violates: RuleName[] = [
      ...(outside ? ['residency' as const] : []),
      ...(tooWeak ? ['compliance' as const] : []),
    ];
    return { ...each, violates };
  });
  return {
    tenantId: tenant.tenantId,
    slug: tenant.slug,
    dataResidency: tenant.dataResidency,
    complianceRequirements: tenant.complianceRequirements,
    region: tenant.region,
    jurisdiction,
    data,
    rules: rulesOf(facts, jurisdiction),
    violations: violationsOf(facts, settings, data, jurisdiction),
    wouldViolate: wouldViolate(facts, settings, jurisdiction),
  };
}

type Located = Omit<ResidentData, 'violates'>;

function locations(facts: ResidencyFacts, settings: ResidencySettings, at: Date): Located[] {
  const { tenant, place, hops, users } = facts;
  const home = Object.keys(settings.regions)[0] as string;
  const { region } = tenant;
  const found: Located[] = [];
  const add = (
    kind: ResidentData['kind'],
    where: string,
    location: { readonly region: string } | { readonly awsRegion: string },
    {
      zones = [],
      keptDays = null,
      until = null,
      rules = ['residency'],
    }: Partial<Pick<Located, 'zones' | 'keptDays' | 'until' | 'rules'>> = {},
  ): void => {
    if (until !== null && Date.parse(until) <= at.getTime()) return;
    const key = 'region' in location ? location.region : null;
    const awsRegion =
      'region' in location
        ? (settings.regions[location.region]?.awsRegion ?? location.region)
        : location.awsRegion;
    found.push({ kind, where, region: key, awsRegion, zones, keptDays, until, rules });
  };

  if (facts.kept) {
    for (const { store, region: where, what, count, until } of facts.kept) {
      const counted = count === null ? '' : `${count} `;
      add(kindOfStore(store), `kept after the erasure: ${counted}${what}`, { region: where }, { until });
    }
    return found;
  }
  if (place) {
    const { zones } = settings.regions[place.region] ?? { zones: [] };
    const readers = place.hasReaders ? readersAt(place, settings) : 0;
    // The zones of its instances are known for a dedicated database only; storage is in three zones in any case.
    const instances =
      zones.length === 0
        ? []
        : Array.from({ length: readers + 1 }, (_, n) => zones[n % zones.length] as string);
    add('database', describe(place), place, {
      zones: place.isolationModel === 'dedicated' && place.databaseSize ? instances.slice(0, 1) : zones,
      rules: ['residency', 'compliance', 'tier'],
    });
    if (readers > 0) {
      add('read-replicas', `${counted(readers, 'reader')} of ${clusterOf(place)}`, place, {
        zones: place.isolationModel === 'dedicated' ? instances.slice(1) : zones,
      });
    }
    add('cluster-backups', `continuous backup of ${clusterOf(place)}`, place, {
      keptDays: retentionAt(place),
      rules: ['residency', 'tier'],
    });
  }

  for (const stored of facts.backups) {
    const tier = stored.tier as Tier;
    const kept = { keptDays: BACKUP_POLICY[tier].retentionDays, until: stored.lastExpiresAt };
    const what = `${counted(stored.count, `${tier} backup`)}, ${stored.bytes} bytes`;
    add('object-backups', `backup bucket of region ${stored.region}: ${what}`, stored, {
      ...kept,
      rules: ['residency', 'tier'],
    });
    const second = settings.regions[stored.region]?.secondRegion;
    if (second !== undefined && copiedTiers(settings).includes(tier)) {
      add(
        'object-backup-copies',
        `copies of the backup bucket of region ${stored.region}: ${what}`,
        { awsRegion: second },
        {
          ...kept,
          rules: ['residency', 'tier'],
        },
      );
    }
  }
  for (const stored of facts.exports) {
    const what = `${counted(stored.count, 'export')}, ${stored.bytes} bytes`;
    add('exports', `backup bucket of region ${stored.region}: ${what}`, stored, {
      keptDays: EXPORT_POLICY.retentionDays,
      until: stored.lastExpiresAt,
    });
  }

  for (const hop of hops) {
    if (hop.snapshot !== null) {
      add('final-snapshot', `snapshot ${hop.snapshot}, until somebody deletes it`, hop.source);
    }
    // Its rows are in these tables again, where it has come back to them.
    const isBack = place?.isolationModel === 'shared' && place.cellId === hop.source.cellId;
    if (hop.samplesIn.length > 0 && !isBack) {
      add(
        'former-place',
        `${describe(hop.source)}: samples of columns that the planner’s statistics may have of tables that are empty now, until they have rows again: ${hop.samplesIn.join(', ')}`,
        hop.source,
      );
    }
    if (hop.state === 'working' || hop.state === 'committed' || hop.state === 'rolling-back') {
      add('next-place', `${describe(hop.target)}, to which a move is running`, hop.target);
    }
    if (hop.state === 'settled' || hop.state === 'mismatch') {
      add(
        'former-place',
        `${describe(hop.source)}: ${whyKept(hop)}`,
        hop.source,
        untilCleaned(hop, settings),
      );
    }
  }
  // One cluster can be the source of several hops, as on the way from shared tables to another region.
  const leftClusters = new Map<string, { source: KnownHop['source']; until: string | null }>();
  for (const { source, state, changedAt } of hops) {
    const { cellId, clusterArn } = source;
    if (clusterArn === null || clusterArn === place?.clusterArn || cellId === null) continue;
    if (state === 'working' || state === 'rolling-back') continue;
    // What was deleted by the clean-up is still in the backups before it.
    const until = state === 'cleaned' ? after(changedAt, retentionAt(source)) : null;
    const known = leftClusters.get(clusterArn);
    const isLonger = known === undefined || (known.until !== null && (until === null || until > known.until));
    if (isLonger) leftClusters.set(clusterArn, { source, until });
  }
  for (const { source, until } of leftClusters.values()) {
    const where = `continuous backup of ${clusterOf(source)}, which the tenant has left`;
    add('cluster-backups', where, source, { keptDays: retentionAt(source), until });
  }
  for (const { region: where, since } of facts.sideClusters) {
    add('side-cluster', `a copy of the cluster for a restore that runs since ${since}`, { region: where });
  }

  // A tenant that has changed its region leaves there what only time deletes.
  const former = formerRegions(hops, region);
  for (const each of [{ region, left: null }, ...former]) {
    const left = each.left;
    const inFormer = left === null ? '' : `, which the tenant has left`;
    add('audit-seal-copies', `backup bucket of region ${each.region}${inFormer}`, each, {
      keptDays: SEAL_COPY_DAYS,
      until: left === null ? null : after(left, SEAL_COPY_DAYS),
    });
    add(
      'logs',
      `CloudWatch Logs of region ${each.region}${inFormer}: ids, figures and clients’ IP addresses`,
      each,
      {
        keptDays: settings.logRetentionDays,
        until: left === null ? null : after(left, settings.logRetentionDays),
      },
    );
    if (left !== null) {
      // Accounts are disabled when their tenant leaves, and deleted later.
      add('user-accounts', `user pool of region ${each.region}${inFormer}: disabled accounts`, each, {
        keptDays: FORMER_ACCOUNT_DAYS,
        until: after(left, FORMER_ACCOUNT_DAYS),
      });
      // It has no personal data: ids, places, and who asked.
      add('directory', `registry of region ${each.region}: id, slug, and the records of moves`, each, {
        rules: [],
      });
    }
  }
  if (region !== home && !former.some((each) => each.region === home)) {
    add('directory', `registry of home region ${home}: id, slug and region`, { region: home }, { rules: [] });
  }
  const registryDays = clusterRetentionDays(TIERS);
  add(
    'registry',
    `database ${REGISTRY_DATABASE} of region ${region}: the tenant's record, ${counted(users, 'user')}; its backups are kept for ${registryDays} days`,
    { region },
    { zones: settings.regions[region]?.zones ?? [] },
  );
  if (place) {
    const inValkey = settings.regions[region]?.hasCache ? ', and Valkey there, for 30 seconds' : '';
    add('cache', `memory of the functions of region ${region}, for minutes${inValkey}`, { region });
    add('secrets', `Secrets Manager of region ${region}: passwords of database roles`, { region });
  }
  if (users > 0)
    add('user-accounts', `user pool of region ${region}: ${counted(users, 'account')}`, { region });
  const copyOfKey = (where: string, from: string) => {
    const second = settings.regions[from]?.secondRegion;
    if (second === undefined) return;
    add('field-keys', `copy of ${where}`, { awsRegion: second }, { rules: ['residency', 'tier'] });
  };
  for (const { region: where, keyArn } of facts.keys) {
    add('field-keys', keyArn, { region: where });
    if (isMultiRegion(keyArn)) copyOfKey(keyArn, where);
  }
  if (place && !facts.keys.some((key) => key.region === region)) {
    const isCopied = settings.regions[region]?.secondRegion !== undefined;
    const alias = isCopied ? copiedFieldKeyAlias(region) : regionFieldKeyAlias(region);
    add('field-keys', alias, { region });
    copyOfKey(alias, region);
  }
  return found;
}

/** The kind of data that a store of the certificate of an erasure has. */
function kindOfStore(store: string): ResidentData['kind'] {
  if (store.startsWith('database ')) return 'cluster-backups';
  if (store.startsWith('bucket ') || store === 'uploads') return 'object-backups';
  if (store === 'logs' || store === 'workflows') return 'logs';
  if (store === 'keys') return 'field-keys';
  if (store === 'user pool') return 'user-accounts';
  return store === 'cache' ? 'cache' : 'registry';
}

function describe(place: KnownPlace): string {
  if (place.isolationModel === 'dedicated')
    return `a dedicated database (${place.databaseSize}) in region ${place.region}, database ${DATA_DATABASE}`;
  const what = place.isolationModel === 'shared' ? 'the shared tables' : 'a schema';
  return `${what} of cell ${place.cellId}, database ${DATA_DATABASE}`;
}

const clusterOf = ({ cellId }: KnownPlace): string =>
  cellId === null ? "the tenant's own cluster" : `the cluster of cell ${cellId}`;

function readersAt({ region, cellId, databaseSize }: KnownPlace, settings: ResidencySettings): number {
  const key = cellId ?? (databaseSize ? readersOfSize(databaseSize) : '');
  return settings.regions[region]?.readers[key] ?? 1;
}

const retentionAt = ({ cellId }: KnownPlace): number =>
  clusterRetentionDays(cellId === null ? ['enterprise'] : ['starter', 'business']);

function whyKept({ state, isRestore, source }: KnownHop): string {
  if (state === 'mismatch') return 'kept for an operator, because source and target differ';
  if (isRestore) return 'what a restore has replaced, kept for an undo';
  return source.isolationModel === 'dedicated'
    ? 'left, and deleted with its database'
    : 'left, and deleted after the grace period';
}

/** When what a hop has left is deleted, as far as it is known. */
function untilCleaned(
  { state, isRestore, committedAt, source, target }: KnownHop,
  { moveGraceMinutes, keepDedicatedDays, undoHours }: ResidencySettings,
): { keptDays: number | null; until: null } {
  if (state === 'mismatch' || committedAt === null) return { keptDays: null, until: null };
  // Never a time: the clean-up may be late, and a report must not leave out what is still there.
  const leaves = source.isolationModel === 'dedicated' && source.clusterArn !== target.clusterArn;
  const days = isRestore ? undoHours / 24 : moveGraceMinutes / (24 * 60) + (leaves ? keepDedicatedDays : 0);
  return { keptDays: Math.round(days * 1000) / 1000, until: null };
}

/** Regions that the tenant has left, and when it last did. */
function formerRegions(hops: readonly KnownHop[], present: string): { region: string; left: string }[] {
  const left = new Map<string, string>();
  for (const { source, target, state, committedAt, changedAt } of hops) {
    if (source.region === target.region || source.region === present) continue;
    if (state === 'working' || state === 'rolling-back') continue;
    const at = committedAt ?? changedAt;
    if ((left.get(source.region) ?? '') < at) left.set(source.region, at);
  }
  return [...left].map(([region, at]) => ({ region, left: at }));
}

function rulesOf({ tenant }: ResidencyFacts, jurisdiction: string): ResidencyRule[] {
  const { tier, dataResidency, complianceRequirements } = tenant;
  const policy = BACKUP_POLICY[tier];
  const { isolationModel } = tierTerms[tier];
  return [
    {
      rule: 'residency',
      demands: `The data stays in region "${dataResidency}", and its copies in ${jurisdiction}.`,
    },
    ...complianceRequirements.map((requirement) => ({
      rule: 'compliance' as const,
      demands: `The requirement "${requirement}" demands at least ${MODELS[weakestFor(requirement)]}.`,
    })),
    { rule: 'tier', demands: `The ${tier} tier has ${MODELS[isolationModel]}.` },
    {
      rule: 'tier',
      demands: `Its backups are kept for ${policy.retentionDays} days${policy.pointInTime ? ', with any point in time' : ''}; copies in a second region: ${policy.secondRegion}.`,
    },
  ];
}

const MODELS = {
  shared: 'shared tables',
  schema: 'a schema of its own',
  dedicated: 'a dedicated database',
} as const;
const BY_STRENGTH = ['shared', 'schema', 'dedicated'] as const;

const weakestFor = (requirement: string) =>
  BY_STRENGTH.find((model) => unsatisfied([requirement], model).length === 0) ?? 'dedicated';

function violationsOf(
  { tenant, place }: ResidencyFacts,
  settings: ResidencySettings,
  data: readonly ResidentData[],
  jurisdiction: string,
): RuleBreak[] {
  const breaks: RuleBreak[] = data
    .filter(({ violates }) => violates.includes('residency'))
    .map(({ kind, awsRegion }) => ({
      rule: 'residency',
      detail: `The ${kind} in ${awsRegion} are outside of ${jurisdiction}.`,
    }));
  if (!place) return breaks;
  for (const { detail } of unsatisfied(tenant.complianceRequirements, place.isolationModel)) {
    breaks.push({ rule: 'compliance', detail });
  }
  const { isolationModel } = tierTerms[tenant.tier];
  if (isolationModel !== place.isolationModel) {
    breaks.push({
      rule: 'tier',
      detail: `The ${tenant.tier} tier has ${MODELS[isolationModel]}, and the tenant has ${MODELS[place.isolationModel]}.`,
    });
  }
  if (BACKUP_POLICY[tenant.tier].secondRegion === 'always' && !settings.regions[place.region]?.secondRegion) {
    breaks.push({
      rule: 'tier',
      detail: `The ${tenant.tier} tier has copies of its backups in a second region, and region "${place.region}" has none: backups.secondRegions in infra/config.ts.`,
    });
  }
  return breaks;
}

function wouldViolate(
  { tenant, place }: ResidencyFacts,
  settings: ResidencySettings,
  jurisdiction: string,
): (RuleBreak & { change: string })[] {
  const found: (RuleBreak & { change: string })[] = [];
  for (const tier of TIERS) {
    if (tier === tenant.tier) continue;
    const change = `a move to the ${tier} tier`;
    for (const { detail } of unsatisfied(tenant.complianceRequirements, tierTerms[tier].isolationModel)) {
      found.push({ change, rule: 'compliance', detail });
    }
    const second = settings.regions[place?.region ?? tenant.region]?.secondRegion;
    if (second && copiedTiers(settings).includes(tier) && jurisdictionOf(second) !== jurisdiction) {
      const detail = `Backups of the ${tier} tier are copied to ${second}, outside of ${jurisdiction}.`;
      found.push({ change, rule: 'residency', detail });
    }
  }
  for (const [key, { awsRegion, secondRegion }] of Object.entries(settings.regions)) {
    if (key === tenant.region) continue;
    const outside = [
      awsRegion,
      ...(secondRegion && copiedTiers(settings).includes(tenant.tier) ? [secondRegion] : []),
    ].filter((each) => jurisdictionOf(each) !== jurisdiction);
    if (outside.length === 0) continue;
    found.push({
      change: `a move to region "${key}"`,
      rule: 'residency',
      detail: `${outside.join(' and ')} ${outside.length > 1 ? 'are' : 'is'} outside of ${jurisdiction}; the move would change the tenant's residency to "${key}".`,
    });
  }
  const second = settings.regions[tenant.region]?.secondRegion;
  if (
    second &&
    tenant.tier === 'business' &&
    !settings.copyBusiness &&
    jurisdictionOf(second) !== jurisdiction
  ) {
    found.push({
      change: 'backups.copyBusiness in infra/config.ts',
      rule: 'residency',
      detail: `Its backups would be copied to ${second}, outside of ${jurisdiction}.`,
    });
  }
  return found;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
