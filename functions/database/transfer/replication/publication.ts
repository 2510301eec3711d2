import type pg from 'pg';
import { endLockHolders } from '../../ddl/ddl-connection.ts';
import { identifier, literal, qualified } from '../../ddl/identifier.ts';
import { scramVerifier } from '../../provisioning/data-roles.ts';
import type { TenantTable } from '../../tables/tenant-table.ts';

export interface Publication {
  /** Of publication, slot, subscription and replication role alike. */
  readonly name: string;
  /** The schema whose tables are published. */
  readonly schemaName: string;
}

/** One connection applies the changes, up to a handful copy tables, and one makes the subscription. */
const CONNECTIONS = 12;

/**
 * Creates the replication role and the publication, or finds them, and gives the role the password. Part of the
 * caller's transaction, as the owner of the tables. The list of tables is explicit: to publish a whole schema takes a
 * superuser.
 */
export async function publish(
  owner: pg.ClientBase,
  { name, schemaName, tables: published }: Publication & { readonly tables: readonly TenantTable[] },
  password: string,
): Promise<void> {
  const role = identifier(name);
  const tables = published.map((table) => qualified(schemaName, table.name)).join(', ');
  const { rows } = await owner.query<{ role: boolean; publication: boolean; lends: boolean }>(
    `select exists (select from pg_catalog.pg_roles where rolname = $1) as role,
            exists (select from pg_catalog.pg_publication where pubname = $1) as publication,
            pg_catalog.to_regrole('rds_replication') is not null as lends`,
    [name],
  );
  const known = rows[0];
  // RDS grants the right to replicate by a role, other PostgreSQL by an attribute.
  const attribute = known?.lends ? '' : ' REPLICATION';
  await owner.query(
    [
      ...(known?.role ? [] : [`CREATE ROLE ${role}`]),
      `ALTER ROLE ${role} LOGIN${attribute} CONNECTION LIMIT ${CONNECTIONS} PASSWORD ${literal(scramVerifier(password))}`,
      ...(known?.lends ? [`GRANT rds_replication TO ${role}`] : []),
      `GRANT USAGE ON SCHEMA ${identifier(schemaName)} TO ${role}`,
      `GRANT SELECT ON ${tables} TO ${role}`,
      known?.publication
        ? `ALTER PUBLICATION ${role} SET TABLE ${tables}`
        : `CREATE PUBLICATION ${role} FOR TABLE ${tables} WITH (publish = 'insert, update, delete')`,
    ].join(';\n'),
  );
}

export async function isPublished(owner: pg.ClientBase, name: string): Promise<boolean> {
  const { rowCount } = await owner.query('select from pg_catalog.pg_publication where pubname = $1', [name]);
  return rowCount === 1;
}

/**
 * Drops the publication and, its sessions ended, the role; does nothing where they are gone. Part of the caller's
 * transaction.
 */
export async function unpublish(owner: pg.ClientBase, { name, schemaName }: Publication): Promise<void> {
  const role = identifier(name);
  await lockReplication(owner, name);
  await owner.query(`DROP PUBLICATION IF EXISTS ${role}`);
  const { rows } = await owner.query<{ role: boolean; schema: boolean }>(
    `select exists (select from pg_catalog.pg_roles where rolname = $1) as role,
            exists (select from pg_catalog.pg_namespace where nspname = $2) as schema`,
    [name, schemaName],
  );
  if (!rows[0]?.role) return;
  const schema = identifier(schemaName);
  await owner.query(
    [
      `ALTER ROLE ${role} NOLOGIN`,
      // The owner administers the role but has none of its rights, and only those let it end its sessions.
      `GRANT ${role} TO CURRENT_USER WITH INHERIT TRUE`,
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = ${literal(name)}`,
      ...(rows[0].schema
        ? [
            `REVOKE ALL ON ALL TABLES IN SCHEMA ${schema} FROM ${role}`,
            `REVOKE ALL ON SCHEMA ${schema} FROM ${role}`,
          ]
        : []),
      `DROP ROLE ${role}`,
    ].join(';\n'),
  );
}

/**
 * Serializes changes of the replication objects of that name, until the open transaction ends: PostgreSQL answers concurrent
 * changes with internal errors.
 */
export async function lockReplication(owner: pg.ClientBase, name: string): Promise<void> {
  const lock = `strata replication ${name}`;
  await endLockHolders(owner, lock);
  await owner.query('select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))', [lock]);
}
