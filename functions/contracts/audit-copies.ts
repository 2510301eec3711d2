/** Copies of the seals of tenants' audit logs, in the bucket of backups. */

/** All copies are below it, one object for each seal. */
export const SEAL_COPIES_ROOT = 'audit-seals/';

/** Days that a copy is kept for: longer than the longest retention of audit entries, 84 months. */
export const SEAL_COPY_DAYS = 2_600;

/** Where a tenant's copies are, with the slash at the end. */
export const sealCopiesPrefix = (tenantId: string): string => `${SEAL_COPIES_ROOT}${tenantId}/`;

/** Where the copy of one seal is. Keys sort like the seals' numbers. */
export const sealCopyKey = (tenantId: string, sequence: number): string =>
  `${sealCopiesPrefix(tenantId)}${String(sequence).padStart(10, '0')}.json`;
