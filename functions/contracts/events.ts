/**
 * The events that a region's bus gets: their names and the schema of each one's `detail`. The documentation is generated
 * from here (docs/events.md), and an event that does not fit its schema is not published.
 *
 * Rules for changes, because subscribers rely on them: a new event, or a new field, keeps `EVENT_SCHEMA_VERSION`; a field
 * that is removed, renamed or means something else raises it. No field holds a person's name or address, a secret, or
 * free text.
 */
import * as z from 'zod/mini';
import { TIERS } from './backup-policy.ts';

/** `source` of the events on the bus. */
export const EVENT_SOURCE = 'strata';

export const EVENT_SCHEMA_VERSION = 1;

/** A published event stays in the registry for so many days, for an operator who looks for it. */
export const PUBLISHED_EVENT_DAYS = 7;

/** What each field means, for the documentation. */
export const fieldMeanings = z.registry<{ description: string }>();

const field = <Schema extends z.core.$ZodType>(schema: Schema, description: string): Schema => {
  fieldMeanings.add(schema, { description });
  return schema;
};

const count = () => z.int().check(z.nonnegative());
const instant = () => z.iso.datetime();
const isolationModel = () => z.enum(['shared', 'schema', 'dedicated']);
const tier = () => z.enum(TIERS);
const shortText = () => z.string().check(z.maxLength(100));

/** What every event has. */
export const commonFields = {
  schemaVersion: field(z.literal(EVENT_SCHEMA_VERSION), 'Version of these schemas.'),
  eventId: field(
    z.uuid(),
    'The same when an event is delivered again: remember it, to handle an event once.',
  ),
  sequence: field(
    z.int().check(z.positive()),
    'Counts the events of the tenant in this region, from 1 without gaps; of the fleet, where there is no tenant.',
  ),
  occurredAt: field(instant(), 'When the change was committed.'),
  region: field(shortText(), 'Key of the region whose registry has recorded it.'),
  tenantId: field(z.nullable(z.uuid()), 'Null: the event is about the fleet.'),
  slug: field(z.nullable(shortText()), 'Of the tenant.'),
  tier: field(z.nullable(tier()), 'Of the tenant, after the change.'),
};

const ofTenant = {
  isolationModel: field(isolationModel(), 'How the rows of the tenant are isolated.'),
  cloneOf: field(z.nullable(z.uuid()), 'The tenant that this one is a copy of; a clone is not billed.'),
};

const ofMove = {
  moveId: field(
    z.uuid(),
    'As in `GET /tenants/{tenantId}/moves/{moveId}`, which also has the reason of a failure.',
  ),
  phase: field(shortText(), 'The phase that it has reached.'),
  targetTier: field(z.nullable(tier()), 'What was asked for; one of the four is set.'),
  targetCell: field(z.nullable(shortText()), 'What was asked for.'),
  targetResidency: field(z.nullable(shortText()), 'What was asked for.'),
  targetSize: field(z.nullable(shortText()), 'What was asked for.'),
  writePauseMs: field(
    z.nullable(z.number()),
    'Longest pause of writes, milliseconds; null until it has succeeded.',
  ),
  rows: field(z.nullable(count()), 'Rows that were copied; null until it has succeeded.'),
  bytes: field(z.nullable(count()), 'Bytes that were copied; null until it has succeeded.'),
};

const { phase, writePauseMs, rows, bytes } = ofMove;
const ofRestore = {
  restoreId: field(z.uuid(), 'As in `GET /restores/{restoreId}`, which also has the reason of a failure.'),
  mode: field(z.enum(['replace', 'clone', 'undo']), 'What happens to the data that the tenant has.'),
  backupId: field(z.nullable(z.uuid()), 'The backup that is restored; null of an undo.'),
  pointInTimeAt: field(z.nullable(instant()), 'The time that is restored; null of a backup.'),
  phase,
  writePauseMs,
  rows,
  bytes,
};

const ofHop = {
  hop: field(count(), 'Index of the hop within the plan, from 0.'),
  kind: field(z.enum(['reshape', 'relocate']), 'Inside one database, or to another cluster.'),
  isolationModel: field(isolationModel(), 'From now on.'),
  cellId: field(
    z.nullable(shortText()),
    'The cell that serves the tenant from now on; null: its own cluster.',
  ),
  targetRegion: field(shortText(), 'Key of the region that serves the tenant from now on.'),
};

const ofBackup = {
  backupId: field(z.uuid(), 'As in `GET /backups/{backupId}`, which also has the reason of a failure.'),
  snapshotAt: field(z.nullable(instant()), 'The moment whose data it holds.'),
  expiresAt: field(instant(), 'Until when it is kept.'),
  rows: field(z.nullable(count()), 'Rows in it; null until it has succeeded.'),
  bytes: field(z.nullable(count()), 'Stored bytes; null until it has succeeded.'),
};

const ofExport = {
  exportId: field(z.uuid(), 'As in `GET /tenants/{tenantId}/exports/{exportId}`.'),
  backupId: field(z.nullable(z.uuid()), 'The backup that it is made of.'),
  snapshotAt: field(z.nullable(instant()), 'The moment whose data it holds.'),
  expiresAt: field(instant(), 'Until when it can be downloaded.'),
  rows: field(z.nullable(count()), 'Rows in it; null until it has succeeded.'),
  bytes: field(z.nullable(count()), 'Size of the archive; null until it has succeeded.'),
};

const ofRollout = {
  rolloutId: field(z.uuid(), 'As in `GET /rollouts/{rolloutId}`.'),
  tablesVersion: field(count(), "Version that tenants' tables get."),
  tenancyVersion: field(count(), 'Version that the functions of `tenancy` get.'),
};

const ofOffer = {
  offerId: field(z.uuid(), 'As in `GET /tenants/{tenantId}/offers/{offerId}`.'),
  targetTier: field(tier(), 'What the tenant is offered.'),
  rules: field(z.array(shortText()), 'Names of the rules that the tenant has met.'),
};

const figure = (description: string) => field(z.nullable(count()), `${description} Null: not measured.`);
const ofUsage = {
  day: field(z.iso.date(), 'UTC. A later event of the same day replaces the earlier one.'),
  activeUsers: field(count(), 'People who may sign in.'),
  activeEmployees: field(count(), 'Employees who are active.'),
  users: figure('Rows of `employees`.'),
  assessments: figure('Assessment results of the month.'),
  rowOperations: figure('Rows written on that day.'),
  storageBytes: figure('Size of tables, indexes and toast.'),
  databaseSizeBytes: figure("Size of the whole database, where it is the tenant's own."),
};

const ofAlert = {
  alertId: field(z.uuid(), 'As in `GET /alerts`, which also has the summary.'),
  kind: field(shortText(), 'Which condition holds.'),
  severity: field(z.enum(['warning', 'critical']), 'How soon it needs an operator.'),
  cellId: field(z.nullable(shortText()), 'The cell that it is about, if it is about one.'),
};

interface EventDefinition {
  readonly meaning: string;
  readonly facts: Readonly<Record<string, z.core.$ZodType>>;
}

const run = <Name extends string>(name: Name, what: string, facts: EventDefinition['facts']) =>
  ({
    [`${name}Started`]: { meaning: `${what} has begun, or begins again.`, facts },
    [`${name}Succeeded`]: { meaning: `${what} has succeeded.`, facts },
    [`${name}Failed`]: { meaning: `${what} has failed.`, facts },
    [`${name}Aborted`]: { meaning: `${what} was stopped.`, facts },
  }) as Record<`${Name}${'Started' | 'Succeeded' | 'Failed' | 'Aborted'}`, EventDefinition>;

/** By `detail-type`. */
export const EVENTS = {
  TenantOnboardingStarted: { meaning: 'A tenant is being set up, or is tried again.', facts: ofTenant },
  TenantActivated: {
    meaning: 'The tenant is set up and served. A clone is suspended first, and resumed when it has its rows.',
    facts: ofTenant,
  },
  TenantOnboardingFailed: { meaning: 'The tenant could not be set up.', facts: ofTenant },
  TenantSuspended: { meaning: 'Requests of the tenant are refused from now on.', facts: ofTenant },
  TenantResumed: { meaning: 'The tenant is served again.', facts: ofTenant },
  TenantTierChanged: {
    meaning: 'The tenant has another tier: bill it by that.',
    facts: { ...ofTenant, previousTier: field(tier(), 'Until now.') },
  },
  TenantArrived: { meaning: 'A move has brought the tenant to this region.', facts: ofTenant },
  TenantOffboardingStarted: { meaning: 'The tenant leaves, and can still stay.', facts: ofTenant },
  TenantOffboardingCancelled: { meaning: 'The tenant stays.', facts: ofTenant },
  TenantErased: { meaning: 'The data of the tenant are erased.', facts: ofTenant },
  ...run('Move', 'A move of the tenant', ofMove),
  MoveCommitted: {
    meaning: 'A hop of a move has its commit: the tenant is at its new place.',
    facts: { moveId: ofMove.moveId, ...ofHop },
  },
  ...run('Restore', "A restore of the tenant's data", ofRestore),
  RestoreCommitted: {
    meaning: 'A hop of a restore has its commit: the tenant sees the restored data.',
    facts: { restoreId: ofRestore.restoreId, ...ofHop },
  },
  ...run('Backup', 'A backup of the tenant', ofBackup),
  BackupExpired: { meaning: 'A backup is no longer kept.', facts: ofBackup },
  ...run('Export', "An export of the tenant's data", ofExport),
  ...run('Rollout', 'A rollout of a new version of the tables', ofRollout),
  OfferMade: { meaning: 'The tenant has outgrown its tier and is offered another one.', facts: ofOffer },
  OfferAccepted: { meaning: 'The offer was accepted; a move follows.', facts: ofOffer },
  OfferDeclined: { meaning: 'The offer was declined.', facts: ofOffer },
  OfferWithdrawn: { meaning: 'The offer does not apply any more.', facts: ofOffer },
  UsageRecorded: { meaning: 'The figures of a day were measured.', facts: ofUsage },
  AlertOpened: { meaning: 'A condition holds that an operator should look at.', facts: ofAlert },
  AlertAcknowledged: { meaning: 'An operator looks at it.', facts: ofAlert },
  AlertResolved: { meaning: 'The condition holds no longer.', facts: ofAlert },
} satisfies Record<string, EventDefinition>;

export type EventType = keyof typeof EVENTS;

export function isEventType(name: string): name is EventType {
  return Object.hasOwn(EVENTS, name);
}

/** The schema of an event's `detail`. Nothing that it does not name may be in it. */
export function eventDetail(type: EventType) {
  return z.strictObject({ ...commonFields, ...EVENTS[type].facts });
}
