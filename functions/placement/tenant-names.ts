import { DEDICATED_NAMES, DEDICATED_SECRETS, TENANT_SECRETS } from '../contracts/names.ts';

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

/** Secrets of a dedicated database's owner and master, which the request path must not be able to read. */
export function dedicatedSecretName(tenantId: string, role: 'owner' | 'master'): string {
  return `${DEDICATED_SECRETS}${tenantId}/${role}`;
}

/** CloudFormation stack of a tenant's dedicated database. */
export function dedicatedStackName(tenantId: string): string {
  return `${DEDICATED_NAMES}${tenantId}`;
}

/** Cluster and proxy of one launch of a tenant's dedicated database, as its template names them. */
export function dedicatedClusterName(tenantId: string, launchId: string): string {
  return `${dedicatedStackName(tenantId)}-${launchId}`;
}
