/**
 * The environment variables of the functions, each stated once: a construct must give a function all that its entry
 * lists here, and the function reads them with `variable`. All values are text.
 */

/** Every function has these. */
export interface CommonEnvironment {
  /** `on`: statements of requests are pipelined. */
  readonly DB_PIPELINE: string;
  /** Oldest version of TLS of connections to databases: `TLSv1.3` or `TLSv1.2`. */
  readonly DB_TLS: string;
  readonly LOG_LEVEL: string;
  readonly POWERTOOLS_SERVICE_NAME: string;
}

/** The registry of the function's own region. The secret is the reader's or the writer's. */
export interface RegistryEnvironment {
  readonly REGISTRY_CLUSTER_ARN: string;
  readonly REGISTRY_SECRET_ARN: string;
  readonly REGISTRY_DATABASE: string;
}

/** The key of the function's region in the configuration, such as `us`. */
export interface RegionEnvironment {
  readonly REGION_KEY: string;
}

/** The registries of all regions. */
export interface RegionsEnvironment extends RegionEnvironment {
  /** JSON, an array of `RegistryAddress`; the first is the home region's. */
  readonly REGISTRIES: string;
}

/** An element of REGISTRIES. */
export interface RegistryAddress {
  /** Such as `us`. */
  readonly region: string;
  /** Such as `us-east-1`. */
  readonly awsRegion: string;
  readonly clusterArn: string;
  /** Name of the writer's secret: its ARN ends in letters that only its region knows. */
  readonly secretName: string;
  readonly database: string;
}

/** Settings with which dedicated databases of the function's region are launched. */
export interface LaunchEnvironment {
  readonly DEDICATED_TEMPLATE_URL: string;
  /** JSON, an object of the template's parameters that are the same for every tenant. */
  readonly DEDICATED_PARAMETERS: string;
  /** JSON, an object: of each size of database an object of the template's other parameters. */
  readonly DEDICATED_SIZES: string;
  readonly CLOUDFORMATION_ROLE_ARN: string;
  /** `true` or `false`. */
  readonly DELETION_PROTECTION: string;
}

/** The functions that make tenants' secrets. */
export interface SecretsEnvironment {
  readonly SECRETS_KMS_KEY_ARN: string;
}

/** The functions that encrypt fields, or decrypt them. */
export interface FieldKeyEnvironment {
  /** The region's KMS key of encrypted fields, for tenants without a key of their own. */
  readonly FIELD_KEY_ARN: string;
}

/** The function that copies keys of encrypted fields. */
export interface KeyCopiesEnvironment {
  /** AWS region of the copies. Absent: there are none. */
  readonly KEY_COPIES_REGION?: string;
}

/** The functions that use the caches of their region. */
export interface CachesEnvironment {
  /** Ids of the region's cells that have a cache, separated by commas. Absent: there is none. */
  readonly CACHES?: string;
}

/** The functions that serve tenants. */
export interface TenantApiEnvironment
  extends RegistryEnvironment,
    RegionEnvironment,
    FieldKeyEnvironment,
    CachesEnvironment {
  /** Domains whose first label names a tenant, separated by commas. */
  readonly TENANT_DOMAINS: string;
}

export interface OperatorApiEnvironment extends RegistryEnvironment, RegionsEnvironment {
  readonly ONBOARDING_STATE_MACHINE_ARN: string;
  readonly MOVE_STATE_MACHINE_ARN: string;
  readonly BACKUP_STATE_MACHINE_ARN: string;
  readonly RESTORE_STATE_MACHINE_ARN: string;
  readonly EXPORT_STATE_MACHINE_ARN: string;
  readonly OFFBOARDING_STATE_MACHINE_ARN: string;
  readonly ROLLOUT_STATE_MACHINE_ARN: string;
  readonly CREDENTIALS_STATE_MACHINE_ARN: string;
  /** Name of the home region's function that measures a tenant. */
  readonly MOVE_SURVEY_FUNCTION: string;
  /** JSON of `ResidencySettings`. */
  readonly RESIDENCY: string;
}

export interface MoveDataEnvironment extends RegistryEnvironment, RegionsEnvironment, CachesEnvironment {
  /** How a subscriber's server checks the certificate of a publisher in its region, in libpq's words. */
  readonly REPLICATION_TLS: string;
  /** The same for a publisher in another region. */
  readonly REPLICATION_TLS_BETWEEN_REGIONS: string;
  /** Share of its time in which a move works: above 0 and up to 1, which never rests. */
  readonly MOVE_DUTY_CYCLE: string;
  /** Longest pause of a tenant's writes, in milliseconds. */
  readonly MOVE_MAX_PAUSE_MS: string;
  readonly MOVE_CLEANUP_STATE_MACHINE_ARN: string;
  /** Days for which a dedicated database is kept after its tenant has moved away. */
  readonly KEEP_DEDICATED_DAYS: string;
  /** Hours for which what a restore has replaced is kept. */
  readonly KEEP_REPLACED_HOURS: string;
}

export interface BackupEnvironment extends RegistryEnvironment, RegionEnvironment {
  /** Name of the bucket of the region's backups. */
  readonly BACKUP_BUCKET: string;
}

/** The function that decides what tokens say. */
export interface SignInEnvironment extends RegistryEnvironment {
  /** JSON, an object: slug of the tenant that each identity provider vouches for, by the provider's name. */
  readonly IDENTITY_PROVIDERS: string;
}

/** The function that works on accounts. */
export interface AccountsEnvironment extends SignInEnvironment {
  readonly USER_POOL_ID: string;
}

/** The function that writes backups. */
export interface BackupDataEnvironment extends BackupEnvironment {
  /** `GOVERNANCE` or `COMPLIANCE`: each object is locked until its backup expires. Empty: none is. */
  readonly BACKUP_OBJECT_LOCK: string;
}

/** The function that makes exports of backups. */
export interface ExportDataEnvironment extends BackupEnvironment {
  readonly BACKUP_STATE_MACHINE_ARN: string;
}

/** The function that makes copies of clusters for restores to a point in time. */
export interface RestoreSideEnvironment extends RegistryEnvironment, RegionEnvironment {
  readonly SIDE_SUBNET_GROUP: string;
  readonly SIDE_SECURITY_GROUP: string;
  /** A DB cluster parameter group. */
  readonly SIDE_PARAMETER_GROUP: string;
}

export interface PromotionEnvironment extends RegistryEnvironment, RegionEnvironment {
  /** JSON of a `PromotionPolicy`. */
  readonly PROMOTION_POLICY: string;
  readonly METERING_FUNCTION_ARN: string;
  readonly MOVE_STATE_MACHINE_ARN: string;
  readonly NOTIFICATION_TOPIC_ARN: string;
}

export interface AlertsEnvironment extends RegistryEnvironment, RegionEnvironment {
  /** The function that surveys the databases. */
  readonly SURVEY_FUNCTION_ARN: string;
  /** The topic of alerts. */
  readonly ALERT_TOPIC_ARN: string;
}

/** The function that begins and ends rotations of credentials, and rotates those of the registry. */
export interface CredentialRegistryEnvironment extends RegistryEnvironment, RegionEnvironment {
  /** JSON of a `CredentialsPolicy`. */
  readonly CREDENTIALS_POLICY: string;
  readonly CREDENTIALS_STATE_MACHINE_ARN: string;
  readonly REGISTRY_MASTER_SECRET_ARN: string;
}

/** The function that sums up the log of requests. */
export interface UsageAggregationEnvironment extends RegistryEnvironment, RegionEnvironment {
  /** Names of the log groups of the functions that serve tenants, separated by commas. */
  readonly API_LOG_GROUPS: string;
}

/** The function that publishes events. */
export interface PublishEventsEnvironment extends RegistryEnvironment, RegionEnvironment {
  readonly EVENT_BUS_NAME: string;
}

/** The function that records offboardings, starts their exports and issues certificates. */
export interface OffboardingRegistryEnvironment extends RegistryEnvironment, RegionsEnvironment {
  /** JSON of an `OffboardingPolicy`. */
  readonly OFFBOARDING_POLICY: string;
  readonly EXPORT_STATE_MACHINE_ARN: string;
  readonly OFFBOARDING_STATE_MACHINE_ARN: string;
  /** JSON of a `Retention`: what outlives an erasure, by days. */
  readonly RETENTION: string;
  /** The KMS key that signs certificates. */
  readonly CERTIFICATE_KEY_ARN: string;
  readonly NOTIFICATION_TOPIC_ARN: string;
}

/** The function that erases what AWS services other than databases have of a tenant. */
export interface OffboardingAwsEnvironment extends BackupEnvironment {
  readonly USER_POOL_ID: string;
  /** JSON, an array of `{ bucket, awsRegion }`: the buckets of the region's copies of backups. */
  readonly BACKUP_COPIES: string;
}

/** A cell's own proxy function names its cell; the region's repairs the proxies of all cells. */
export interface ProxyAuthEnvironment extends RegistryEnvironment {
  readonly CELL_ID?: string;
}

/** A function that reads nothing but what every function has. */
type NoEnvironment = Readonly<Record<never, string>>;

/** The entries of the bundle, and the variables of each besides `CommonEnvironment`. */
export interface FunctionEnvironments {
  'api/assessments/handler': TenantApiEnvironment;
  'api/audit/handler': TenantApiEnvironment;
  'api/people/handler': TenantApiEnvironment;
  'api/public/handler': NoEnvironment;
  'api/skills/handler': TenantApiEnvironment;
  'api/tenants/handler': OperatorApiEnvironment;
  'api/users/handler': TenantApiEnvironment;
  'tasks/accounts': AccountsEnvironment;
  'tasks/aggregate-usage': UsageAggregationEnvironment;
  'tasks/backup-data': BackupDataEnvironment;
  'tasks/backup-registry': BackupEnvironment;
  'tasks/bootstrap-cell': RegistryEnvironment;
  'tasks/bootstrap-registry': NoEnvironment;
  'tasks/evaluate-alerts': AlertsEnvironment;
  'tasks/credential-aws': RegistryEnvironment & SecretsEnvironment;
  'tasks/credential-data': RegistryEnvironment;
  'tasks/credential-registry': CredentialRegistryEnvironment;
  'tasks/export-data': ExportDataEnvironment;
  'tasks/issue-claims': SignInEnvironment;
  'tasks/look-up-outputs': NoEnvironment;
  'tasks/meter-tenants': RegistryEnvironment & RegionEnvironment;
  'tasks/move-aws': RegistryEnvironment & RegionsEnvironment & SecretsEnvironment & LaunchEnvironment;
  'tasks/move-data': MoveDataEnvironment;
  'tasks/move-registry': RegistryEnvironment & RegionsEnvironment;
  'tasks/move-survey': RegistryEnvironment & RegionsEnvironment;
  'tasks/offboarding-aws': OffboardingAwsEnvironment;
  'tasks/offboarding-data': RegistryEnvironment & RegionEnvironment;
  'tasks/offboarding-registry': OffboardingRegistryEnvironment;
  'tasks/onboarding-aws': RegistryEnvironment & SecretsEnvironment & LaunchEnvironment;
  'tasks/onboarding-data': RegistryEnvironment;
  'tasks/onboarding-registry': RegistryEnvironment & RegionsEnvironment;
  'tasks/partition-upkeep': RegistryEnvironment & RegionEnvironment;
  'tasks/promotion-evaluate': PromotionEnvironment;
  'tasks/publish-events': PublishEventsEnvironment;
  'tasks/reconcile-proxy-auth': ProxyAuthEnvironment;
  'tasks/register-region': RegistryEnvironment & RegionsEnvironment;
  'tasks/registry-reconcile': BackupEnvironment;
  'tasks/restore-data': BackupEnvironment & FieldKeyEnvironment;
  'tasks/restore-side': RestoreSideEnvironment;
  'tasks/rotate-fields': RegistryEnvironment & RegionEnvironment & FieldKeyEnvironment & KeyCopiesEnvironment;
  'tasks/schema-rollout': RegistryEnvironment & RegionEnvironment;
  'tasks/survey-alerts': RegistryEnvironment & RegionEnvironment;
}

/** A bundle entry with its environment; a union with one member for each of the given entries. */
export type FunctionCode<Entry extends keyof FunctionEnvironments = keyof FunctionEnvironments> =
  Entry extends keyof FunctionEnvironments
    ? { readonly entry: Entry; readonly environment: FunctionEnvironments[Entry] }
    : never;

/** The value of a variable of the function's environment. @throws {Error} when it is not set, or empty. */
export function variable<Environment extends object>(
  name: keyof Environment & string,
  environment: NodeJS.ProcessEnv = process.env,
): string {
  const value = environment[name];
  if (!value) throw new Error(`environment variable ${name} is missing`);
  return value;
}
