import { type Release, thisRelease } from '../../functions/database/provisioning/release.ts';
import { text } from '../../functions/database/tables/column.ts';
import { changesOf, type TenantMigration } from '../../functions/database/tables/tenant-migrations.ts';
import type { TenantTable } from '../../functions/database/tables/tenant-table.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';

const version = thisRelease.schemaVersion + 1;

/** The tables as the next release might have them: employees get a shown name. */
const nextTables: readonly TenantTable[] = tenantTables.map((table: TenantTable) =>
  table.name === 'employees'
    ? { ...table, columns: { ...table.columns, shown_name: text().since(version) } }
    : table,
);
const migration: TenantMigration = {
  name: `${String(version).padStart(4, '0')}-shown-names`,
  up: changesOf(version, nextTables),
};

/** This code with one more migration and one more function of `tenancy`. */
export const nextRelease: Release = {
  schemaVersion: version,
  migrations: [...thisRelease.migrations, migration],
  tables: nextTables,
  tenancyVersion: thisRelease.tenancyVersion + 1,
  tenancyStatements: [
    ...thisRelease.tenancyStatements,
    `CREATE OR REPLACE FUNCTION tenancy.of_the_next_release() RETURNS integer LANGUAGE sql RETURN 1`,
    'REVOKE ALL ON FUNCTION tenancy.of_the_next_release() FROM PUBLIC',
  ],
};
