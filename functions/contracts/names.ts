/** Names that the templates give and the functions use. They are the same in every region unless a region is part of them. */

/** Database of every data cluster. */
export const DATA_DATABASE = 'strata';

/** Database of every registry, and the secret of the role that writes to it. */
export const REGISTRY_DATABASE = 'registry';
export const registrySecretName = (role: 'master' | 'reader' | 'writer' | 'users'): string =>
  `strata/registry/${role}`;
export const REGISTRY_WRITER_SECRET = registrySecretName('writer');

/** Roles of every registry: for functions that look things up, and for functions that change it. */
export const REGISTRY_READER_ROLE = 'strata_registry_reader';
export const REGISTRY_WRITER_ROLE = 'strata_registry_writer';
/** For functions that change memberships only. */
export const REGISTRY_USERS_ROLE = 'strata_registry_users';

/** The scope of a platform operator's token. */
export const OPERATOR_SCOPE = 'strata/operator';

/** The group of the user pool whose members are operators. */
export const OPERATORS_GROUP = 'operators';

/**
 * Ports of this machine on which the command line waits for the end of a sign-in. Cognito compares callbacks exactly, so
 * they are fixed; a busy one is skipped.
 */
export const SIGN_IN_PORTS = [17_831, 17_832, 17_833] as const;

/** The callback of the command line at one of these ports. */
export const signInCallback = (port: number): string => `http://localhost:${port}/callback`;

/** Names of the state machines. */
export const STATE_MACHINES = {
  onboarding: 'tenant-onboarding',
  move: 'tenant-move',
  moveCleanup: 'tenant-move-cleanup',
  rollout: 'schema-rollout',
  partitionUpkeep: 'partition-upkeep',
  backup: 'tenant-backup',
  fleetBackup: 'fleet-backup',
  restore: 'tenant-restore',
  export: 'tenant-export',
  drills: 'restore-drills',
  reconcile: 'registry-reconcile',
  auditChain: 'audit-chain',
  credentials: 'credential-rotation',
  offboarding: 'tenant-offboarding',
} as const;

/** Secrets of tenants' login roles: `strata/tenant/<tenantId>/<role>`. Requests sign in with them. */
export const TENANT_SECRETS = 'strata/tenant/';

/** Secrets of a dedicated database's owner and master: `strata/dedicated/<tenantId>/<role>`. Requests cannot read them. */
export const DEDICATED_SECRETS = 'strata/dedicated/';

/** Stack, cluster, proxy and all else of a tenant's dedicated database have names that begin with this and its id. */
export const DEDICATED_NAMES = 'strata-tenant-';

/** The KMS key of a tenant's encrypted fields. */
export const tenantKeyAlias = (tenantId: string): string => `${formerTenantKeyAlias(tenantId)}-fields`;

/** The same of earlier releases, whose keys are of one region. */
export const formerTenantKeyAlias = (tenantId: string): string => `alias/${DEDICATED_NAMES}${tenantId}`;

/** The KMS key of a region for the encrypted fields of tenants that have none of their own. */
export const regionFieldKeyAlias = (regionKey: string): string => `alias/strata-${regionKey}-fields`;

/** The same of a region that has a second one: a multi-Region key, which takes the place of the other. */
export const copiedFieldKeyAlias = (regionKey: string): string =>
  `${regionFieldKeyAlias(regionKey)}-multi-region`;

/** The KMS key of a region that signs certificates of erasure. */
export const certificateKeyAlias = (regionKey: string): string => `alias/strata-${regionKey}-certificates`;

/** Copies of clusters, of which restores to a point in time make backups: `strata-side-<restoreId>`. */
export const SIDE_CLUSTERS = 'strata-side-';

/**
 * A secret of a cell: of a role of its cluster, of the login to its cache, or with the address of its cache, which is no
 * secret but has to be found by a name.
 */
export const cellSecretName = (
  cellId: string,
  what: 'master' | 'owner' | 'starter' | 'cache' | 'cache-address',
): string => `strata/${cellId}/${what}`;

/** Beginning of the names of the secrets of roles that stand in for the one of a cell's Starter tenants. */
export const starterStandIns = (cellId: string): string => `${cellSecretName(cellId, 'starter')}/`;

/** Messages of the log that alarms count. */
export const ALERTS = {
  /** Registry and database disagree about the owner of a tenant, or one tenant's role holds locks of another tenant. */
  isolation: 'TenantIsolationAlert',
  /** A tenant has been provisioning for too long. */
  provisioning: 'TenantProvisioningAlert',
  /** A move found different data in both places. */
  moveMismatch: 'MoveMismatchAlert',
  /** A move could not be recovered. */
  moveRecovery: 'MoveRecoveryAlert',
  /** A backup whose execution has ended could not be recovered. */
  backupRecovery: 'BackupRecoveryAlert',
  /** A copy of a cluster was left by its restore and could not be deleted: it costs money. */
  sideCluster: 'SideClusterAlert',
  /** An entry or a seal of a tenant's audit log was altered, removed, added or reordered. */
  auditChain: 'AuditChainAlert',
  /** An offboarding whose execution has ended could not be continued, or the daily run over subscriptions failed. */
  offboardingRecovery: 'OffboardingRecoveryAlert',
} as const;

/** The function that measures a tenant, in the region with that key. */
export const surveyFunctionName = (regionKey: string): string => `strata-${regionKey}-move-survey`;

/** The function that works on accounts in the user pool of the region with that key. */
export const accountsFunctionName = (regionKey: string): string => `strata-${regionKey}-accounts`;

/** The bus of the region with that key, to which its registry's events go. */
export const eventBusName = (regionKey: string): string => `strata-${regionKey}-events`;

/** Our own metrics of CloudWatch. */
export const METRICS_NAMESPACE = 'Strata';

/** Age of the oldest event that the bus has not taken, in seconds. */
export const EVENT_BACKLOG_METRIC = 'EventBacklogSeconds';
