import { sql } from 'kysely';
import pg from 'pg';
import { type DdlTransaction, ddlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { assertUuid, identifier, literal } from '../ddl/identifier.ts';
import { TenantSchemaInUse } from '../errors.ts';
import { isolatedTarget, migrateTenantTables } from '../tables/migrate-tenant-tables.ts';
import type { TenantMigration } from '../tables/tenant-migrations.ts';
import { ensureRequestRole } from './data-roles.ts';

export interface TenantSchema {
  readonly tenantId: string;
  readonly schemaName: string;
  readonly roleName: string;
}

export interface TenantSchemaOptions extends TenantSchema {
  readonly password: string;
  /** Connections that the role may hold at once, which bounds a noisy tenant. */
  readonly connectionLimit: number;
  /** For tests of migrations to come. */
  readonly migrations?: readonly TenantMigration[];
}

/** The name of both the schema and the login role of a tenant's placement. @throws {TypeError} on a malformed id or epoch. */
export function tenantSchemaName(tenantId: string, epoch: number): string {
  assertUuid(tenantId);
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw new TypeError('not an epoch');
  return `tenant_${tenantId.replaceAll('-', '')}_e${epoch}`;
}

/**
 * Creates a tenant's own schema, its tables and its login role, or brings them up to date; the password given is the
 * password afterwards. `owner` is a direct connection as the owner role. One transaction: safe to kill and to repeat.
 * Call it before requests are sent there: it does not wait for a quiet moment, as a rollout does.
 * @throws {TenantSchemaInUse} when the schema is another tenant's.
 * @returns the version that its tables have now.
 */
export async function createTenantSchema(
  owner: pg.ClientBase,
  options: TenantSchemaOptions,
): Promise<number> {
  const { tenantId, schemaName, roleName } = options;
  assertUuid(tenantId);
  const schema = identifier(schemaName);
  return ddlTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, schemaName);
    await refuseForeignSchema(transaction, schemaName, tenantId);
    await ensureRequestRole(transaction, options);
    await runStatements(transaction, [
      `CREATE SCHEMA IF NOT EXISTS ${schema}`,
      `COMMENT ON SCHEMA ${schema} IS ${literal(commentOf(tenantId))}`,
      `GRANT USAGE ON SCHEMA ${schema} TO ${identifier(roleName)}`,
    ]);
    return migrateTenantTables(transaction, isolatedTarget(schemaName, roleName), options.migrations);
  });
}

/**
 * Drops a tenant's schema with all its data, ends the sessions of its role, and drops the role, unless it has rights on
 * another schema (in a dedicated database the tenant comes back under the same role). Does nothing where they are gone.
 * One transaction, which gives up (55P03) when it cannot lock the tables within 5 s.
 * @param inTransaction the transaction; one of its own when absent.
 * @throws {TenantSchemaInUse} while a placement still leads to the schema, or when it is another tenant's.
 */
export async function dropTenantSchema(
  owner: pg.ClientBase,
  tenantSchema: TenantSchema,
  inTransaction: typeof ddlTransaction = ddlTransaction,
): Promise<void> {
  const { tenantId, schemaName, roleName } = tenantSchema;
  assertUuid(tenantId);
  const role = identifier(roleName);
  await inTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, schemaName);
    await refuseForeignSchema(transaction, schemaName, tenantId);
    const placed = await sql`
      select from tenancy.placement where schema_name = ${schemaName} and state <> 'moved'`.execute(
      transaction,
    );
    if (placed.rows.length > 0) throw new TenantSchemaInUse('a placement leads to the schema');
    const { rows } = await sql`
      select from pg_catalog.pg_roles r where rolname = ${roleName} and not exists (
        select from pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
        where a.grantee = r.oid and n.nspname <> ${schemaName}
      )`.execute(transaction);
    const dropsRole = rows.length > 0;
    if (dropsRole) {
      await dropLeftoversElsewhere(owner, transaction, roleName);
      await runStatements(transaction, shutOut(roleName));
    }
    await runStatements(transaction, [
      "SET LOCAL lock_timeout = '5s'",
      `DROP SCHEMA IF EXISTS ${identifier(schemaName)} CASCADE`,
      // What the role made or was given here beside the schema: large objects, default rights, a tampered ACL.
      ...(dropsRole ? [`DROP OWNED BY ${role}`, `DROP ROLE ${role}`] : []),
    ]);
  });
}

/**
 * Statements after which the role has no session and gets none. The owner administers the role but has none of its
 * rights, and only those let it end its sessions and drop what it owns.
 */
function shutOut(roleName: string): string[] {
  const role = identifier(roleName);
  return [
    `ALTER ROLE ${role} NOLOGIN`,
    `GRANT ${role} TO CURRENT_USER WITH INHERIT TRUE`,
    `SELECT pg_catalog.pg_terminate_backend(pid, 2000) FROM pg_catalog.pg_stat_activity WHERE usename = ${literal(roleName)}`,
  ];
}

/**
 * A login role can connect to every database of the cluster, and a session with its password can leave things there that
 * keep the role from being dropped (a large object, default rights). `DROP OWNED` works in one database only, so this
 * opens a connection to each one that has some, and commits there: before the caller's transaction touches the role.
 */
async function dropLeftoversElsewhere(
  owner: pg.ClientBase,
  transaction: DdlTransaction,
  roleName: string,
): Promise<void> {
  const { rows } = await sql<{ database: string }>`
    select distinct d.datname as database
    from pg_catalog.pg_shdepend s join pg_catalog.pg_database d on d.oid = s.dbid
    where s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      and s.refobjid = pg_catalog.to_regrole(${roleName}) and d.datallowconn
      and d.datname <> pg_catalog.current_database()`.execute(transaction);
  const { host, port, user, password, ssl } = owner as pg.Client;
  for (const { database } of rows) {
    const client = new pg.Client({
      host,
      port,
      database,
      connectionTimeoutMillis: 10_000,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
      ssl,
    });
    await client.connect();
    try {
      await client.query([...shutOut(roleName), `DROP OWNED BY ${identifier(roleName)}`].join(';\n'));
    } finally {
      await client.end();
    }
  }
}

/** By which a schema is known to be the tenant's, whatever its name. */
export const commentOf = (tenantId: string) => `tenant ${tenantId}`;

/** @throws {TenantSchemaInUse} */
export async function refuseForeignSchema(
  transaction: Parameters<typeof runStatements>[0],
  schemaName: string,
  tenantId: string,
): Promise<void> {
  const { rows } = await sql<{ comment: string | null }>`
    select pg_catalog.obj_description(oid, 'pg_namespace') as comment
    from pg_catalog.pg_namespace where nspname = ${schemaName}`.execute(transaction);
  const [schema] = rows;
  if (schema && schema.comment !== commentOf(tenantId))
    throw new TenantSchemaInUse('the schema is not this tenant’s');
}
