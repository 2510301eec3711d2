import type pg from 'pg';
import { qualified } from '../ddl/identifier.ts';

/** Version of the shared tables of this database: the number of the last migration that ran there. */
export const sharedTablesVersion = (owner: pg.ClientBase) =>
  lastMigration(owner, 'tenancy.shared_schema_migrations');

/** Version of the tables in a schema of a tenant's own. */
export const isolatedTablesVersion = (owner: pg.ClientBase, schemaName: string) =>
  lastMigration(owner, qualified(schemaName, 'schema_migrations'));

async function lastMigration(owner: pg.ClientBase, history: string): Promise<number> {
  const { rows } = await owner.query<{ version: number }>(
    `select coalesce(max(substring(name from '^[0-9]{4}')::integer), 0) as version from ${history}`,
  );
  return rows[0]!.version;
}
