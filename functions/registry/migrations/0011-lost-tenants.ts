/**
 * Registry schema version 11: tenants whose rows are lost with their database or their region.
 *
 * `lost` is set from the moment at which reconciliation registers the tenant from its backups until a restore has brought
 * its rows back (functions/registry/lost-tenants.ts).
 */
export const lostTenantColumns: readonly string[] = ['ALTER TABLE tenants ADD COLUMN lost jsonb'];
