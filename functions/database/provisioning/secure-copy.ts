/**
 * Makes a restored copy of a data database harmless, and readable for one tenant.
 *
 *   copy: roles, subscriptions and placements as they were ──owner's password set──▶ logins closed, subscriptions dropped,
 *   placements of all other tenants deleted, the tenant's own one active and without a claim
 *
 * The copy's cluster must run with `max_logical_replication_workers = 0`, so that no subscription works before it is
 * dropped here: a copied subscriber would take the original's changes. Each step may be repeated.
 */
import type pg from 'pg';
import { ddlTransaction, OWNER_ROLE, runStatements } from '../ddl/ddl-connection.ts';
import { identifier, literal } from '../ddl/identifier.ts';
import { inTransaction } from '../transfer/claim.ts';
import { scramVerifier } from './data-roles.ts';

/** The tenant's place in the copy: where it was at the time that the copy has. */
export interface CopiedPlacement {
  readonly epoch: number;
  readonly schemaName: string;
}

const SECONDS = 300;

/**
 * Gives the owner of the copy its present password: the copy has the one of its time.
 * @param master a connection of the copy's master user.
 * @throws the driver's errors, {TypeError} the password is not printable ASCII.
 */
export function setOwnerPassword(master: pg.ClientBase, password: string): Promise<void> {
  return ddlTransaction(master, (transaction) =>
    runStatements(transaction, [
      `ALTER ROLE ${identifier(OWNER_ROLE)} LOGIN PASSWORD ${literal(scramVerifier(password))}`,
    ]),
  );
}

/**
 * The rest of it, in one transaction of the owner.
 * @returns the tenant's place in the copy; undefined, and nothing is changed, where the tenant was not there.
 * @throws the driver's errors.
 */
export function secureCopy(owner: pg.ClientBase, tenantId: string): Promise<CopiedPlacement | undefined> {
  return inTransaction(owner, 'read committed', SECONDS, async () => {
    const { rows } = await owner.query<{ epoch: string | number; schema_name: string }>(
      `select epoch, schema_name from tenancy.placement where tenant_id = $1 and state <> 'moved' for update`,
      [tenantId],
    );
    const [placement] = rows;
    if (!placement) return undefined;
    await closeLogins(owner);
    await dropSubscriptions(owner);
    await owner.query('delete from tenancy.placement where tenant_id <> $1', [tenantId]);
    // A move that was under way at that time goes on at the original, not here.
    await owner.query(
      `update tenancy.placement
       set state = 'active', mover = null, former = null, capture = false, fence_token = null,
           fence_expires_at = null
       where tenant_id = $1`,
      [tenantId],
    );
    return { epoch: Number(placement.epoch), schemaName: placement.schema_name };
  });
}

/** Of all roles that the owner has made: those of tenants and of replication. */
async function closeLogins(owner: pg.ClientBase): Promise<void> {
  const { rows } = await owner.query<{ name: string }>(
    `select r.rolname as name from pg_catalog.pg_roles r
     where r.rolcanlogin and r.rolname <> current_user
       and exists (select from pg_catalog.pg_auth_members m
                   where m.roleid = r.oid and m.admin_option and m.member = current_user::pg_catalog.regrole)`,
  );
  for (const { name } of rows) await owner.query(`ALTER ROLE ${identifier(name)} NOLOGIN`);
}

/**
 * Their connection is replaced first. Without a slot name, DROP SUBSCRIPTION still connects to the publisher where tables
 * are in their initial copy, and drops the slots of those: they have the original's names.
 */
async function dropSubscriptions(owner: pg.ClientBase): Promise<void> {
  const { rows } = await owner.query<{ name: string }>(
    `select s.subname as name
     from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid
     where d.datname = pg_catalog.current_database()`,
  );
  for (const { name } of rows) {
    const subscription = identifier(name);
    await owner.query(`ALTER SUBSCRIPTION ${subscription} DISABLE`);
    await owner.query(`ALTER SUBSCRIPTION ${subscription} CONNECTION ${literal(NOWHERE)}`);
    await owner.query(`ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE)`);
    await owner.query(`DROP SUBSCRIPTION ${subscription}`);
  }
}

/** PostgreSQL wants a password in it. */
const NOWHERE = 'host=127.0.0.1 port=1 dbname=none user=none password=none connect_timeout=2';
