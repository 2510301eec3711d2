import { TENANT_SCHEMA_VERSION } from '../tables/schema-version.ts';
import { type TenantMigration, tenantMigrations } from '../tables/tenant-migrations.ts';
import { TENANCY_VERSION, tenancyStatements } from './tenancy-schema.ts';

/** What one release of this code makes of every data database and tenant schema. */
export interface Release {
  readonly schemaVersion: number;
  readonly migrations: readonly TenantMigration[];
  readonly tenancyVersion: number;
  readonly tenancyStatements: readonly string[];
}

export const thisRelease: Release = {
  schemaVersion: TENANT_SCHEMA_VERSION,
  migrations: tenantMigrations,
  tenancyVersion: TENANCY_VERSION,
  tenancyStatements,
};
