import { TENANT_SCHEMA_VERSION } from '../tables/schema-version.ts';
import { type TenantMigration, tenantMigrations } from '../tables/tenant-migrations.ts';
import type { TenantTable } from '../tables/tenant-table.ts';
import { tenantTables } from '../tables/tenant-tables.ts';
import { TENANCY_VERSION, tenancyStatements } from './tenancy-schema.ts';

/** What one release creates in every data database and tenant schema. */
export interface Release {
  readonly schemaVersion: number;
  readonly migrations: readonly TenantMigration[];
  /** The version after the last migration. */
  readonly tables: readonly TenantTable[];
  readonly tenancyVersion: number;
  readonly tenancyStatements: readonly string[];
}

export const thisRelease: Release = {
  schemaVersion: TENANT_SCHEMA_VERSION,
  migrations: tenantMigrations,
  tables: tenantTables,
  tenancyVersion: TENANCY_VERSION,
  tenancyStatements,
};
