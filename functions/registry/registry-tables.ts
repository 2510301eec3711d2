/**
 * The control plane's tables: the one definition from which the query builder's types and the casts of its parameters
 * derive. `migrations/` makes the tables; a test compares them with this definition.
 *
 * To change them: add a migration, and the column here.
 */
import { DATABASE_SIZES, type DatabaseSize } from '../contracts/database-size.ts';
import type { Column } from '../database/tables/column.ts';
import {
  bigint,
  boolean,
  date,
  double,
  inet,
  integer,
  jsonb,
  numeric,
  text,
  timestamptz,
  uuid,
  varchar,
} from './registry-column.ts';

type JsonObject = Readonly<Record<string, unknown>>;
/** The operator's request; the target is one of tier, cell and residency, with or without a size, or a size. */
interface MoveInput {
  readonly targetTier?: string;
  readonly targetCell?: string;
  readonly targetResidency?: string;
  readonly targetSize?: string;
  readonly force?: boolean;
}
interface PlannedHop {
  readonly kind: string;
  readonly from: object;
  readonly to: object;
  readonly filling?: JsonObject;
}
interface Reason {
  readonly rule: string;
  readonly detail: string;
}

/** An object with a part of a table's rows as text, in gzip. */
export interface StoredText {
  readonly key: string;
  /** Of the text. */
  readonly bytes: number;
  /** Of the object, like `sha256` (hexadecimal). */
  readonly storedBytes: number;
  readonly sha256: string;
}

/** The latest restore drill of a backup. */
export interface BackupDrill {
  readonly status: 'passed' | 'failed';
  readonly at: string;
  readonly reason?: string;
}

/** What a tenant has lost whose database or region is gone. */
export interface LostPlace {
  /** The latest epoch that is known of the lost place. */
  readonly epoch: number;
  /** The tenant's before the loss, and again after the restore. */
  readonly status: 'active' | 'suspended' | 'offboarding';
  /** The backup that brings its rows back. */
  readonly backupId: string;
}

/** By size, the parameters of the template of dedicated databases. */
export type DedicatedSizes = Readonly<Record<DatabaseSize, Readonly<Record<string, string>>>>;

/** Who is present in each of a backup's two lanes. */
type BackupLanes = readonly [BackupWorker | null, BackupWorker | null];
interface BackupWorker {
  readonly worker: string;
  /** As `pg_export_snapshot()` names it. */
  readonly snapshot: string;
}

const ISOLATION_MODELS = ['shared', 'schema', 'dedicated'] as const;
const CREDENTIAL_KINDS = ['tenant', 'starter', 'owner', 'registry'] as const;
const RUN_STATES = ['running', 'succeeded', 'failed', 'aborted'] as const;

const id = () => uuid().notNull().default('gen_random_uuid()');
const now = () => timestamptz().notNull().default('now()');

/** Sums over a tenant's requests; times in milliseconds. */
const requestFigures = () => ({
  requests: bigint().notNull(),
  errors: bigint().notNull(),
  request_ms: bigint().notNull(),
  database_ms: bigint().notNull(),
  bytes_in: bigint().notNull(),
  bytes_out: bigint().notNull(),
});

export const registryTables = {
  tenants: {
    tenant_id: id(),
    tenant_name: varchar(255).notNull(),
    tenant_slug: varchar(100).notNull(),
    isolation_model: varchar(50)
      .notNull()
      .oneOf(...ISOLATION_MODELS),
    schema_name: varchar(100),
    subscription_tier: varchar(50).notNull().oneOf('starter', 'business', 'enterprise'),
    /**
     * `arriving`: a move from another region is bringing the tenant. `elsewhere`: another region serves it, and this
     * registry keeps only its id, slug and region.
     */
    status: varchar(50)
      .notNull()
      .default("'provisioning'")
      .oneOf(
        'provisioning',
        'active',
        'suspended',
        'failed',
        'offboarding',
        'offboarded',
        'arriving',
        'elsewhere',
      ),
    status_reason: text(),
    execution_arn: text(),
    admin_email: text(),
    created_at: now(),
    updated_at: now(),
    billing_email: varchar(255),
    subscription_start_date: date(),
    subscription_end_date: date(),
    monthly_revenue: numeric(12, 2),
    max_users: integer(),
    max_storage_gb: integer(),
    features: jsonb<Record<string, unknown>>(),
    data_residency: varchar(50),
    compliance_requirements: jsonb<string[]>(),
    home_region: text().notNull(),
    /** Of a clone: the tenant that it was copied from. It is neither promoted nor billed. */
    clone_of: uuid(),
    /** The latest restore drill of one of its backups. */
    last_drill: jsonb<BackupDrill>(),
    /** Null for a tenant that has its rows: lost-tenants.ts. */
    lost: jsonb<LostPlace>(),
    /** Requests per second and burst; null: those of the tier. */
    request_rate: integer(),
    request_burst: integer(),
    /** Of its dedicated database, or the one that its onboarding makes. Null may be the usual size: tenant-record.ts. */
    database_size: text().oneOf(...DATABASE_SIZES),
    /** Why it must not be erased; null: it may be. May name people. */
    legal_hold: varchar(500),
  },
  tenant_users: {
    user_id: id(),
    tenant_id: uuid().notNull(),
    email: varchar(255).notNull(),
    role: text().notNull().oneOf('admin', 'member', 'viewer'),
    external_auth_id: varchar(255),
    is_active: boolean().notNull().default('true'),
    created_at: now(),
    last_login_at: timestamptz(),
  },
  cells: {
    cell_id: text().notNull(),
    region: text().notNull(),
    data_residency: text().notNull(),
    database_host: text().notNull(),
    database_port: integer().notNull(),
    writer_host: text().notNull(),
    database_name: text().notNull(),
    proxy_name: text().notNull(),
    cluster_arn: text().notNull(),
    master_secret_arn: text().notNull(),
    owner_secret_arn: text().notNull(),
    starter_role_name: text().notNull(),
    starter_secret_arn: text().notNull(),
    max_business_tenants: integer().notNull().default('190'),
    status: text().notNull().default("'active'").oneOf('active', 'full', 'draining'),
    proxy_lease_token: uuid(),
    proxy_lease_expires_at: timestamptz(),
    created_at: now(),
    updated_at: now(),
    schema_version: integer().notNull().default('2'),
    tenancy_version: integer().notNull().default('1'),
    /** Of the proxy's endpoint that leads to the readers; null without readers. */
    reader_host: text(),
  },
  tenant_database_routing: {
    tenant_id: uuid().notNull(),
    database_type: varchar(50).notNull().default("'postgresql'"),
    database_host: varchar(255).notNull(),
    database_port: integer().notNull(),
    database_name: varchar(100).notNull(),
    schema_name: varchar(100),
    connection_pool_size: integer().notNull().default('10'),
    read_replica_host: varchar(255),
    cell_id: text(),
    cluster_arn: text(),
    isolation_model: text()
      .notNull()
      .oneOf(...ISOLATION_MODELS),
    role_name: text(),
    secret_arn: text(),
    epoch: bigint().notNull(),
    region: text().notNull(),
    writer_host: text(),
    stack_name: text(),
    created_at: now(),
    updated_at: now(),
    schema_version: integer().notNull().default('2'),
    tenancy_version: integer().notNull().default('1'),
    /** Since when the tenant is in its present cluster. */
    arrived_at: now(),
    /** Of a dedicated database; a cell has its own. */
    owner_secret_arn: text(),
  },
  regions: {
    region_key: text().notNull(),
    aws_region: text().notNull(),
    api_url: text().notNull(),
    secrets_key_arn: text().notNull(),
    dedicated_template_url: text().notNull(),
    dedicated_role_arn: text().notNull(),
    dedicated_parameters: jsonb<Readonly<Record<string, string>>>().notNull(),
    updated_at: now(),
    dedicated_sizes: jsonb<DedicatedSizes>(),
  },
  control_audit_log: {
    log_id: id(),
    actor: text().notNull(),
    actor_type: text().notNull().oneOf('operator', 'workflow', 'system', 'user'),
    action: text().notNull(),
    tenant_id: uuid(),
    resource_type: text().notNull(),
    resource_id: text(),
    source_ip: inet(),
    request_data: jsonb<JsonObject>(),
    created_at: now(),
  },
  /** Addresses whose accounts in the user pool are to be compared with their memberships. */
  account_requests: {
    email: varchar(255).notNull(),
    /** Of the latest request. */
    request: id(),
    requested_at: now(),
    attempts: integer().notNull().default('0'),
    next_attempt_at: now(),
    /** Why the last attempt failed. */
    reason: text(),
    /** The run that works on it. */
    lease: uuid(),
    lease_expires_at: timestamptz(),
  },
  tenant_choices: {
    /** `sub` of the token. */
    subject: text().notNull(),
    tenant_id: uuid().notNull(),
    chosen_at: now(),
  },
  control_idempotency_keys: {
    idempotency_key: text().notNull(),
    actor: text().notNull(),
    request_hash: text().notNull(),
    response_status: integer(),
    response_body: jsonb<JsonObject>(),
    resource_id: text(),
    created_at: now(),
  },
  tenant_moves: {
    move_id: id(),
    tenant_id: uuid().notNull(),
    status: text()
      .notNull()
      .default("'running'")
      .oneOf(...RUN_STATES),
    phase: text().notNull().default("'planned'"),
    reason: text(),
    input: jsonb<MoveInput>().notNull(),
    plan: jsonb<readonly PlannedHop[]>().notNull(),
    phases: jsonb<readonly JsonObject[]>().notNull().default("'[]'"),
    current_pause_ms: double(),
    report: jsonb<object>(),
    abort_requested_at: timestamptz(),
    abort_requested_by: text(),
    execution_arn: text(),
    started_by: text().notNull(),
    started_at: now(),
    finished_at: timestamptz(),
    updated_at: now(),
    /** Of a restore: what is restored and how. Null for a move. */
    restore: jsonb<JsonObject>(),
  },
  tenant_move_hops: {
    move_id: uuid().notNull(),
    hop_index: integer().notNull(),
    /** The value of `tenancy.placement.mover`. */
    attempt_id: id(),
    tenant_id: uuid().notNull(),
    kind: text().notNull().oneOf('reshape', 'relocate'),
    source: jsonb<object>().notNull(),
    target: jsonb<object>().notNull(),
    state: text()
      .notNull()
      .default("'working'")
      .oneOf('working', 'committed', 'settled', 'cleaned', 'rolling-back', 'rolled-back', 'mismatch'),
    result: jsonb<JsonObject>().notNull().default("'{}'"),
    committed_at: timestamptz(),
    cleanup_execution_arn: text(),
    created_at: now(),
    updated_at: now(),
    suffix: text().notNull(),
    /** Of a restore's hop: what its target is filled from, other than the tenant's rows. */
    filling: jsonb<JsonObject>(),
  },
  /** A figure is null when it could not be measured or was not measured yet. */
  usage_samples: {
    tenant_id: uuid().notNull(),
    sampled_on: date().notNull(),
    active_users: integer().notNull(),
    active_employees: integer().notNull(),
    storage_bytes: bigint(),
    row_operations: bigint(),
    monthly_revenue: numeric(12, 2),
    sampled_at: now(),
    user_count: integer(),
    assessment_count: bigint(),
    database_size_bytes: bigint(),
    /** Parts of the tenant's storage; of a Starter tenant its measured shares of the shared tables. */
    table_bytes: bigint(),
    index_bytes: bigint(),
    toast_bytes: bigint(),
  },
  usage_hours: {
    tenant_id: uuid().notNull(),
    hour: timestamptz().notNull(),
    /** In whose log the requests were. */
    region: text().notNull(),
    ...requestFigures(),
    aggregated_at: now(),
  },
  usage_days: {
    tenant_id: uuid().notNull(),
    day: date().notNull(),
    ...requestFigures(),
    /** Users with a request on that day; null when the log was not asked. */
    acting_users: integer(),
    moved_bytes: bigint().notNull().default('0'),
    backed_up_bytes: bigint().notNull().default('0'),
    /** Of the backups that were kept then. */
    kept_backup_bytes: bigint().notNull().default('0'),
    updated_at: now(),
  },
  /** The next hour of a region's log that is not final. */
  usage_aggregations: {
    region: text().notNull(),
    final_until: timestamptz().notNull(),
    updated_at: now(),
  },
  /** Prices and installation as the deployment has them; the latest row applies. */
  price_tables: {
    as_of: date().notNull(),
    document: jsonb<JsonObject>().notNull(),
    deployed_at: now(),
  },
  tenant_offers: {
    offer_id: id(),
    tenant_id: uuid().notNull(),
    target_tier: text().notNull().oneOf('business', 'enterprise'),
    status: text().notNull().default("'open'").oneOf('open', 'accepted', 'declined', 'withdrawn'),
    reasons: jsonb<readonly Reason[]>().notNull(),
    figures: jsonb<JsonObject>().notNull(),
    move_id: uuid(),
    decided_by: text(),
    notified_at: timestamptz(),
    created_at: now(),
    updated_at: now(),
  },
  promotion_decisions: {
    decision_id: id(),
    tenant_id: uuid().notNull(),
    decision: text().notNull().oneOf('keep', 'promote', 'defer', 'offer'),
    target_tier: text().oneOf('business', 'enterprise'),
    reasons: jsonb<readonly Reason[]>().notNull(),
    figures: jsonb<JsonObject>().notNull(),
    move_id: uuid(),
    offer_id: uuid(),
    decided_at: now(),
  },
  credential_rotations: {
    rotation_id: id(),
    kind: text()
      .notNull()
      .oneOf(...CREDENTIAL_KINDS),
    /** What is rotated, such as `cell us-1 owner`. */
    subject: text().notNull(),
    tenant_id: uuid(),
    cell_id: text(),
    region: text().notNull(),
    role_name: text().notNull(),
    /** ARN or name. */
    secret: text().notNull(),
    stand_in_role: text(),
    stand_in_secret_arn: text(),
    /** The old password and its sessions end at once. */
    is_immediate: boolean().notNull().default('false'),
    /** Since when requests depend on it. */
    switched_at: timestamptz(),
    status: text()
      .notNull()
      .default("'running'")
      .oneOf(...RUN_STATES),
    phase: text().notNull().default("'planned'"),
    reason: text(),
    /** Number of its execution. */
    attempt: integer().notNull().default('1'),
    execution_arn: text(),
    started_by: text().notNull(),
    started_at: now(),
    finished_at: timestamptz(),
    updated_at: now(),
  },
  schema_rollouts: {
    rollout_id: id(),
    status: text()
      .notNull()
      .default("'running'")
      .oneOf(...RUN_STATES),
    phase: text<'planned' | 'canary' | 'waves' | 'finished'>().notNull().default("'planned'"),
    reason: text(),
    schema_version: integer().notNull(),
    tenancy_version: integer().notNull(),
    input: jsonb<{ readonly except?: readonly string[] }>().notNull().default("'{}'"),
    execution_arn: text(),
    started_by: text().notNull(),
    started_at: now(),
    finished_at: timestamptz(),
    updated_at: now(),
  },
  schema_rollout_targets: {
    rollout_id: uuid().notNull(),
    /** `cell <id>` or `tenant <id>`. */
    target: text().notNull(),
    isolation_model: text()
      .notNull()
      .oneOf(...ISOLATION_MODELS),
    cell_id: text(),
    tenant_id: uuid(),
    /** `deferred`: a move keeps the target, and the rollout tries it again. */
    state: text()
      .notNull()
      .default("'pending'")
      .oneOf('pending', 'working', 'deferred', 'succeeded', 'failed'),
    reason: text(),
    attempts: integer().notNull().default('0'),
    from_version: integer(),
    to_version: integer(),
    updated_at: now(),
  },
  tenant_backups: {
    backup_id: id(),
    tenant_id: uuid().notNull(),
    region: text().notNull(),
    /** As it was when the backup began, like the three columns below it. */
    tier: text().notNull().oneOf('starter', 'business', 'enterprise'),
    isolation_model: text()
      .notNull()
      .oneOf(...ISOLATION_MODELS),
    epoch: bigint().notNull(),
    schema_version: integer().notNull(),
    /** `expired`: no longer shown; the row goes once its objects have. */
    status: text()
      .notNull()
      .default("'running'")
      .oneOf(...RUN_STATES, 'expired'),
    phase: text().notNull().default("'planned'"),
    reason: text(),
    /** Of the keys of its objects, with the slash at the end. */
    prefix: text().notNull(),
    execution_arn: text(),
    started_by: text().notNull(),
    plan: jsonb<JsonObject>(),
    attempt: integer().notNull().default('0'),
    /** The workers that are present, with the snapshots that they export. */
    lanes: jsonb<BackupLanes>().notNull().default("'[null, null]'"),
    rows: bigint(),
    /** Of the stored objects, the manifest left out. */
    bytes: bigint(),
    manifest_sha256: text(),
    last_drill: jsonb<BackupDrill>(),
    started_at: now(),
    snapshot_at: timestamptz(),
    finished_at: timestamptz(),
    expires_at: timestamptz().notNull(),
    updated_at: now(),
    /** The restore to a point in time that made it; its rows are those of that time. */
    restore_id: uuid(),
  },
  tenant_backup_parts: {
    backup_id: uuid().notNull(),
    part: integer().notNull(),
    table_name: text().notNull(),
    /** From 0 within the table. */
    part_index: integer().notNull(),
    /** null: the whole table. */
    range: jsonb<JsonObject>(),
    state: text().notNull().default("'waiting'").oneOf('waiting', 'working', 'done'),
    /** Who works on it; null in the other states. */
    worker: text(),
    object_key: text(),
    rows: bigint(),
    /** Of the COPY stream. */
    raw_bytes: bigint(),
    /** Of the object. */
    stored_bytes: bigint(),
    sha256: text(),
    content_hash: text(),
    updated_at: now(),
  },
  tenant_exports: {
    export_id: id(),
    tenant_id: uuid().notNull(),
    region: text().notNull(),
    status: text()
      .notNull()
      .default("'running'")
      .oneOf(...RUN_STATES),
    phase: text().notNull().default("'planned'"),
    reason: text(),
    /** Of the keys of its objects, with the slash at the end. */
    prefix: text().notNull(),
    /** Of the archive, once it is written. */
    bucket: text(),
    object_key: text(),
    execution_arn: text(),
    started_by: text().notNull(),
    /** The backup that it is made of; null until that is decided. */
    backup_id: uuid(),
    /** null until the backup's manifest was read. */
    parts_total: integer(),
    rows: bigint(),
    /** Of the archive, like `sha256`. */
    bytes: bigint(),
    sha256: text(),
    started_at: now(),
    /** The moment whose data it holds: the backup's. */
    snapshot_at: timestamptz(),
    finished_at: timestamptz(),
    expires_at: timestamptz().notNull(),
    updated_at: now(),
  },
  /** A part is written when it has a row. */
  tenant_export_parts: {
    export_id: uuid().notNull(),
    part: integer().notNull(),
    rows: bigint().notNull(),
    csv: jsonb<StoredText>().notNull(),
    sql: jsonb<StoredText>().notNull(),
  },
  /** KMS keys of single tenants for encrypted fields. A row stays when its key is no longer used: backups need it. */
  tenant_field_keys: {
    key_arn: text().notNull(),
    tenant_id: uuid().notNull(),
    created_at: now(),
    retired_at: timestamptz(),
    /** AWS region that has a copy. */
    copied_to: text(),
  },
  /** The work that encrypts a tenant's fields again. */
  field_rotations: {
    rotation_id: id(),
    tenant_id: uuid().notNull(),
    region: text().notNull(),
    cause: text().notNull().oneOf('key', 'age', 'request'),
    status: text().notNull().default("'running'").oneOf('running', 'succeeded', 'failed'),
    reason: text(),
    /** The KMS key that values get; null until a worker takes it up. */
    key_arn: text(),
    /** Of the tenant's place. */
    epoch: bigint().notNull(),
    /** Data keys that were made before are replaced. */
    stale_before: timestamptz().notNull(),
    /** The last employee that was handled. */
    after_row: uuid(),
    values_done: bigint().notNull().default('0'),
    values_damaged: bigint().notNull().default('0'),
    started_by: text().notNull(),
    started_at: now(),
    finished_at: timestamptz(),
    leased_until: timestamptz(),
    updated_at: now(),
  },
  /** Events that the bus has not taken yet, and for a while those that it has. Only triggers insert. */
  event_outbox: {
    event_id: id(),
    /** In the order of insertion, over all tenants. */
    position: bigint().notNull(),
    event_type: text().notNull(),
    /** `tenants.tenant_id`; null for the fleet. Its name keeps it from being erased with the tenant. */
    tenant: uuid(),
    slug: varchar(100),
    tier: varchar(50),
    /** Of the tenant's event in this registry, from 1 without gaps. */
    sequence: bigint().notNull(),
    occurred_at: timestamptz().notNull().default('clock_timestamp()'),
    facts: jsonb<JsonObject>().notNull(),
    /** Failed ones. */
    attempts: integer().notNull().default('0'),
    /** Why the last attempt failed, or why it is refused. */
    reason: text(),
    published_at: timestamptz(),
    /** It does not fit its schema. */
    refused_at: timestamptz(),
  },
  event_sequences: {
    tenant: uuid().notNull(),
    /** Of the tenant's latest event. */
    last: bigint().notNull(),
  },
  /** One row: the lease of the run that publishes. */
  event_publisher: {
    only_row: boolean().notNull().default('true'),
    lease: uuid(),
    lease_expires_at: timestamptz(),
  },
  /** Conditions that an operator should look at: functions/alerts. */
  alerts: {
    alert_id: id(),
    /** The condition: its kind and what it is about. At most one alert of it is not resolved. */
    alert_key: text().notNull(),
    kind: text().notNull(),
    severity: text().notNull().oneOf('warning', 'critical'),
    status: text().notNull().default("'open'").oneOf('open', 'acknowledged', 'resolved'),
    region: text().notNull(),
    tenant_id: uuid(),
    cell_id: text(),
    summary: text().notNull(),
    details: jsonb<JsonObject>().notNull().default("'{}'"),
    opened_at: now(),
    last_seen_at: now(),
    acknowledged_at: timestamptz(),
    acknowledged_by: text(),
    resolved_at: timestamptz(),
    /** When the topic took the message that it was opened. */
    published_at: timestamptz(),
    resolution_published_at: timestamptz(),
  },
  /** Counters of a statement in a data database, and what it usually took. */
  query_baselines: {
    database_key: text().notNull(),
    role_name: text().notNull(),
    query_id: text().notNull(),
    /** Of `pg_stat_statements` at the end of the last window. */
    calls: double().notNull(),
    total_ms: double().notNull(),
    /** Sums over earlier windows, in which older ones weigh less. */
    baseline_calls: double().notNull(),
    baseline_ms: double().notNull(),
    degraded_since: timestamptz(),
    window_mean_ms: double(),
    window_ended_at: now(),
    seen_at: now(),
  },
  /** The latest measurement of each cell. */
  cell_utilisation: {
    cell_id: text().notNull(),
    figures: jsonb<JsonObject>().notNull(),
    observed_at: now(),
  },
  /** `facts` by store, such as `database us-1`: what was found there, and when it was erased. */
  tenant_offboardings: {
    offboarding_id: id(),
    tenant_id: uuid().notNull(),
    region: text().notNull(),
    cause: text().notNull().oneOf('request', 'subscription'),
    status: text()
      .notNull()
      .default("'running'")
      .oneOf(...RUN_STATES),
    phase: text().notNull().default("'planned'"),
    reason: text(),
    /** The tenant's before; a cancellation brings it back. */
    former_status: text().notNull().oneOf('active', 'suspended', 'failed', 'elsewhere'),
    /** Region of the offboarding that this one is a part of: it erases what the tenant has left here. */
    part_of: text(),
    /** The final export. */
    export_id: uuid(),
    execution_arn: text(),
    started_by: text().notNull(),
    started_at: now(),
    grace_until: timestamptz(),
    /** Since then it cannot be cancelled. */
    erasing_since: timestamptz(),
    finished_at: timestamptz(),
    facts: jsonb<JsonObject>().notNull().default("'{}'"),
    /** JSON text of the signed certificate. */
    certificate: text(),
    updated_at: now(),
  },
  /** What was announced or done because a subscription ends at that date. */
  subscription_notices: {
    tenant_id: uuid().notNull(),
    end_date: date().notNull(),
    notice: text().notNull(),
    sent_at: now(),
  },
} as const;

// biome-ignore lint/suspicious/noExplicitAny: any column, whatever its value type.
type Columns = Record<string, Column<any, any, boolean, boolean>>;
type RowOf<Table extends Columns> = { [Name in keyof Table]: Table[Name]['kysely'] };

/** The tables with the types of the query builder. */
export type RegistryTables = {
  [Table in keyof typeof registryTables]: RowOf<(typeof registryTables)[Table]>;
};

/** Such as `tenants.tenant_id`. */
export type RegistryColumnName = {
  [Table in keyof RegistryTables]: `${Table}.${keyof RegistryTables[Table] & string}`;
}[keyof RegistryTables];

/** PostgreSQL's type of a column; undefined when the table has no such column. */
export function columnTypeOf(table: string, column: string): string | undefined {
  const columns = (registryTables as Record<string, Columns>)[table];
  return columns?.[column]?.spec.type;
}
