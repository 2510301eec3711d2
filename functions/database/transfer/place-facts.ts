/** What a place's database knows about the tenant there, besides its rows and its placement. */
import type pg from 'pg';
import { qualified } from '../ddl/identifier.ts';

/**
 * Whether a transaction is still open here that may have read the tenant's placement as it was before its last change, and
 * so may still read where the tenant was. Decided by snapshots, not by clocks: a snapshot that was taken while a transaction
 * older than the change was running does not show the change. The owner sees all sessions (pg_monitor).
 */
export async function hasOlderReaders(owner: pg.ClientBase, tenantId: string): Promise<boolean> {
  const { rows } = await owner.query<{ older: boolean }>(
    `select exists (
       select from pg_catalog.pg_stat_activity a, tenancy.placement p
       where p.tenant_id = $1 and a.datname = pg_catalog.current_database()
         and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
         and pg_catalog.age(a.backend_xmin) >= pg_catalog.age(p.xmin)
     ) as older`,
    [tenantId],
  );
  return rows[0]?.older ?? false;
}

/** How many requests were run again while the tenant was here, under any of the epochs. */
export async function retriedRequests(
  owner: pg.ClientBase,
  tenantId: string,
  epochs: readonly number[],
): Promise<number> {
  const { rows } = await owner.query<{ requests: number }>(
    `select coalesce(sum(requests), 0)::integer as requests from tenancy.retried_requests
     where tenant_id = $1 and epoch = any ($2::bigint[])`,
    [tenantId, epochs],
  );
  return rows[0]?.requests ?? 0;
}

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
