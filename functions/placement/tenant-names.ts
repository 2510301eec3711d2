import { DATABASE_SIZES, type DatabaseSize, DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import { DEDICATED_NAMES, DEDICATED_SECRETS, TENANT_SECRETS } from '../contracts/names.ts';
import { isUuid } from '../contracts/tenant.ts';

/** Epoch of a tenant's first placement. */
export const FIRST_EPOCH = 1;

/**
 * Schema and login role of a tenant, which share one name: every move makes new ones.
 * @param suffix the epoch, or what tells the attempts at one epoch apart.
 */
export function tenantRoleName(tenantId: string, suffix: number | string): string {
  return `tenant_${tenantId.replaceAll('-', '')}_e${suffix}`;
}

/** Schema that keeps what a restore has replaced in the shared tables. It has no role. */
export function keptSchemaName(tenantId: string, suffix: string): string {
  return `tenant_${tenantId.replaceAll('-', '')}_k${suffix}`;
}

/** Schema that a drill restores a backup into, and drops again. It has no role. */
export function drillSchemaName(tenantId: string, backupId: string): string {
  return `${drillSchemaPrefix(tenantId)}${backupId.slice(0, 8)}`;
}

export const drillSchemaPrefix = (tenantId: string): string => `tenant_${tenantId.replaceAll('-', '')}_d`;

/** Secret of a tenant's login role; the request path may read `strata/tenant/*`. */
export function tenantSecretName(tenantId: string, roleName: string): string {
  return `${TENANT_SECRETS}${tenantId}/${roleName}`;
}

/**
 * Secrets of a dedicated database's owner and master, which the request path must not be able to read. During a change of
 * size a tenant has two databases, so the names contain the size; only the usual one has the names from before there
 * were sizes.
 */
export function dedicatedSecretName(
  tenantId: string,
  role: 'owner' | 'master',
  size: DatabaseSize = DEFAULT_DATABASE_SIZE,
): string {
  return `${DEDICATED_SECRETS}${tenantId}/${size === DEFAULT_DATABASE_SIZE ? '' : `${size}/`}${role}`;
}

/**
 * The owner's secret of the dedicated database that a tenant has now.
 * @param ownerSecretArn of the routing row; rows from before there were sizes have none.
 */
export function ownerSecretOf(ownerSecretArn: string | null, tenantId: string): string {
  return ownerSecretArn ?? dedicatedSecretName(tenantId, 'owner');
}

/** CloudFormation stack of a tenant's dedicated database of that size; with the same exception. */
export function dedicatedStackName(tenantId: string, size: DatabaseSize = DEFAULT_DATABASE_SIZE): string {
  return `${DEDICATED_NAMES}${tenantId}${size === DEFAULT_DATABASE_SIZE ? '' : `-${size}`}`;
}

/** The tenant and the size of a stack's name; undefined for another stack. */
export function readDedicatedStackName(
  stackName: string,
): { readonly tenantId: string; readonly databaseSize: DatabaseSize } | undefined {
  if (!stackName.startsWith(DEDICATED_NAMES)) return undefined;
  const tenantId = stackName.slice(DEDICATED_NAMES.length, DEDICATED_NAMES.length + UUID_LENGTH);
  if (!isUuid(tenantId)) return undefined;
  const databaseSize = DATABASE_SIZES.find((size) => dedicatedStackName(tenantId, size) === stackName);
  return databaseSize && { tenantId, databaseSize };
}

const UUID_LENGTH = 36;

/** Cluster and proxy of one launch of a tenant's dedicated database, as its template names them. */
export function dedicatedClusterName(tenantId: string, launchId: string): string {
  return `${DEDICATED_NAMES}${tenantId}-${launchId}`;
}
