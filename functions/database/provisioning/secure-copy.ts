/**
 * Secures a restored copy of a data database, so that only one tenant can be read in it and nothing replicates.
 *
 *   restored: roles, subscriptions and placements of the original ──setOwnerPassword──▶ the owner can sign in
 *     ──secureCopy──▶ no other role can sign in, no subscription exists, and the only placement is the tenant's: active and
 *     without a claim
 *
 * The cluster of the copy must run with `max_logical_replication_workers = 0`, so that no subscription works before it is
 * dropped: a copied subscriber would consume the changes of the original. Each step may be repeated.
 */
import type pg from 'pg';
import { ddlTransaction, OWNER_ROLE, runStatements } from '../ddl/ddl-connection.ts';
import { identifier, literal } from '../ddl/identifier.ts';
import { inTransaction } from '../transfer/claim.ts';
import { scramVerifier } from './data-roles.ts';

/** The tenant's place in the copy, as it was at the time of the copy. */
export interface CopiedPlacement {
  readonly epoch: number;
  readonly schemaName: string;
}

const SECONDS = 300;

/**
 * Sets the owner's password in the copy. The copy has the password of its time, which a rotation may have changed since.
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
 * Closes logins, drops subscriptions and deletes the placements of other tenants, in one transaction of the owner.
 * @returns the tenant's place in the copy; undefined if the copy does not have the tenant: then nothing is changed.
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
    // A move that was running at that time continues in the original only.
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

/** Closes the logins of all roles that the owner has created: those of tenants and of replication. */
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
 * Replaces the connection of each subscription first. Even without a slot name, DROP SUBSCRIPTION connects to the publisher
 * while tables are in their initial copy, and drops the slots of these tables, which are the original's.
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

/** PostgreSQL requires a password in it. */
const NOWHERE = 'host=127.0.0.1 port=1 dbname=none user=none password=none connect_timeout=2';
