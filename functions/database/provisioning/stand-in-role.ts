/**
 * A second login role that serves while the password of the first one, its principal, is replaced.
 *
 *   (none) ──createStandIn──▶ may sign in, with the principal's rights ──dropStandIn──▶ (none)
 *
 * The stand-in owns nothing and has no rights of its own: it is a member of its principal and inherits what that has, also
 * the policies. `tenancy.enter` admits it for the principal's tenants. So placements, grants and everything that names the
 * principal stay as they are.
 */
import { sql } from 'kysely';
import type pg from 'pg';
import { type DdlTransaction, ddlTransaction, lockForDdl, runStatements } from '../ddl/ddl-connection.ts';
import { identifier, literal } from '../ddl/identifier.ts';
import { LoginRoleMissing } from '../errors.ts';
import { ensureRequestRole, scramVerifier } from './data-roles.ts';
import { dropLoginRole } from './drop-login-role.ts';

export interface StandInRole {
  readonly principal: string;
  readonly roleName: string;
  readonly password: string;
}

/**
 * Creates the stand-in, with the principal's limit of connections. A repetition sets the password.
 * @param owner a connection as the owner role.
 * @throws {LoginRoleMissing} there is no principal; the driver's errors.
 */
export function createStandIn(
  owner: pg.ClientBase,
  { principal, roleName, password }: StandInRole,
): Promise<void> {
  return ddlTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, principal);
    const { rows } = await sql<{ limit: number }>`
      select rolconnlimit as limit from pg_catalog.pg_roles where rolname = ${principal}`.execute(
      transaction,
    );
    const [found] = rows;
    if (!found) throw new LoginRoleMissing();
    await ensureRequestRole(transaction, { roleName, password, connectionLimit: found.limit });
    await runStatements(transaction, [
      `GRANT ${identifier(principal)} TO ${identifier(roleName)} WITH INHERIT TRUE, SET FALSE`,
    ]);
  });
}

/** Ends the stand-in's sessions and drops it. Does nothing when there is none. */
export function dropStandIn(
  owner: pg.ClientBase,
  { principal, roleName }: Omit<StandInRole, 'password'>,
): Promise<void> {
  return ddlTransaction(owner, async (transaction) => {
    await lockForDdl(transaction, principal);
    const { rows } = await sql`select from pg_catalog.pg_roles where rolname = ${roleName}`.execute(
      transaction,
    );
    if (rows.length > 0) await dropLoginRole(owner, transaction, roleName);
  });
}

/** The login roles that stand in for a role. */
export async function standInsOf(transaction: DdlTransaction, principal: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select s.rolname as name
    from pg_catalog.pg_auth_members m
    join pg_catalog.pg_roles r on r.oid = m.roleid
    join pg_catalog.pg_roles s on s.oid = m.member
    where r.rolname = ${principal} and m.inherit_option and s.rolname <> current_user`.execute(transaction);
  return rows.map(({ name }) => name);
}

/**
 * Gives a login role, or the owner itself, another password. Open sessions stay, unless `endsSessions`: then all other sessions of the role end
 * at once.
 * @throws {LoginRoleMissing} there is no such role; the driver's errors.
 */
export async function setLoginPassword(
  owner: pg.ClientBase,
  roleName: string,
  password: string,
  { endsSessions }: { readonly endsSessions: boolean },
): Promise<void> {
  const { rows } = await owner.query('select from pg_catalog.pg_roles where rolname = $1', [roleName]);
  if (rows.length === 0) throw new LoginRoleMissing();
  await owner.query(`ALTER ROLE ${identifier(roleName)} PASSWORD ${literal(scramVerifier(password))}`);
  if (!endsSessions) return;
  await owner.query(
    `select pg_catalog.pg_terminate_backend(pid, 2000) from pg_catalog.pg_stat_activity
     where usename = $1 and pid <> pg_catalog.pg_backend_pid() and backend_type = 'client backend'`,
    [roleName],
  );
}

/** Whether no session of the role has worked for the given time, in seconds. */
export async function isUnused(owner: pg.ClientBase, roleName: string, seconds: number): Promise<boolean> {
  const { rows } = await owner.query(
    `select from pg_catalog.pg_stat_activity
     where usename = $1
       and (state is distinct from 'idle'
            or state_change > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2))
     limit 1`,
    [roleName, seconds],
  );
  return rows.length === 0;
}
