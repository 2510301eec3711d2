/** Resource path of a tenant named by slug or id. */
export function tenantPath(slug: string): string {
  return `/tenants/${encodeURIComponent(slug)}`;
}

export function movePath(slug: string, moveId: string): string {
  return `${tenantPath(slug)}/moves/${encodeURIComponent(moveId)}`;
}

export function backupPath(slug: string, backupId: string): string {
  return `${tenantPath(slug)}/backups/${encodeURIComponent(backupId)}`;
}
