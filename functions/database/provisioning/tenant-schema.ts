import { sql } from 'kysely';
import type pg from 'pg';
import { ddlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { assertUuid, identifier, literal } from '../ddl/identifier.ts';
import { TenantSchemaInUse } from '../errors.ts';
import { isolatedTarget, migrateTenantTables } from '../tables/migrate-tenant-tables.ts';
import type { TenantMigration } from '../tables/tenant-migrations.ts';
import { ensureRequestRole } from './data-roles.ts';
import { dropLeftoversElsewhere, dropLoginRole, shutOut } from './drop-login-role.ts';
import { standInsOf } from './stand-in-role.ts';

export interface TenantSchema {
  readonly tenantId: string;
  readonly schemaName: string;
  readonly roleName: string;
}

export interface TenantSchemaOptions extends TenantSchema {
  readonly password: string;
  /** Connections that the role may hold at once; this limits a noisy tenant. */
  readonly connectionLimit: number;
  /** For tests of future migrations. */
  readonly migrations?: readonly TenantMigration[];
}

/** The name of both the schema and the login role of a tenant's placement. @throws {TypeError} on a malformed id or epoch. */
export function tenantSchemaName(tenantId: string, epoch: number): string {
  assertUuid(tenantId);
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw new TypeError('not an epoch');
  return `tenant_${tenantId.replaceAll('-', '')}_e${epoch}`;
}

/**
 * Creates a tenant's own schema, its tables and its login role, or updates them, and sets the role's password. `owner`
 * is a direct connection as the owner role. One transaction: safe to interrupt and to repeat. Call it before requests
 * use the schema: unlike a rollout it does not keep its locks short.
 * @throws {TenantSchemaInUse} the schema is another tenant's.
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
 * another schema (in a dedicated database the tenant returns under the same role). Does nothing when they do not exist.
 * One transaction, which fails (55P03) when it cannot lock the tables within 5 s.
 * @param inTransaction the transaction; one of its own when absent.
 * @throws {TenantSchemaInUse} a placement still points to the schema, or it is another tenant's.
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
      for (const standIn of await standInsOf(transaction, roleName)) {
        await dropLoginRole(owner, transaction, standIn);
      }
      await dropLeftoversElsewhere(owner, transaction, roleName);
      await runStatements(transaction, shutOut(roleName));
    }
    await runStatements(transaction, [
      "SET LOCAL lock_timeout = '5s'",
      `DROP SCHEMA IF EXISTS ${identifier(schemaName)} CASCADE`,
      // Other objects of the role here: large objects, default rights, a tampered ACL.
      ...(dropsRole ? [`DROP OWNED BY ${role}`, `DROP ROLE ${role}`] : []),
    ]);
  });
}

/** Marks a schema as the tenant's, whatever its name. */
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
