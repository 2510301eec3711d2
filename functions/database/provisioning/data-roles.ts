import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { type DdlTransaction, OWNER_ROLE, runStatements, TENANT_LOGIN_GROUP } from '../ddl/ddl-connection.ts';
import { identifier, literal } from '../ddl/identifier.ts';

export { OWNER_ROLE, TENANT_LOGIN_GROUP };

/**
 * Limits of a request's transaction, as role settings: the proxy refuses them as startup parameters, and a session
 * `SET` would leak to the next tenant on the connection. The search path is emptied because its default, `"$user"`,
 * is a tenant's own schema by name.
 */
const REQUEST_SETTINGS = {
  statement_timeout: '15s',
  idle_in_transaction_session_timeout: '10s',
  transaction_timeout: '30s',
  // Longer than a pool keeps an idle connection. A session that only holds on to something ends.
  idle_session_timeout: '5min',
  search_path: '',
} as const;

/** Kilobytes of temporary files of one session. Only a superuser, or a role with that grant, may set it: RDS gives that grant to no role. */
const TEMP_FILE_LIMIT = 4_194_304;

export interface LoginRole {
  readonly roleName: string;
  readonly password: string;
  /** Connections it may hold at once; unlimited when absent. */
  readonly connectionLimit?: number;
}

/** Creates the role where it is missing; password, limit and settings are brought to what is asked in any case. */
export async function ensureRequestRole(transaction: DdlTransaction, role: LoginRole): Promise<void> {
  await ensureRole(transaction, role.roleName);
  const name = identifier(role.roleName);
  const limit = role.connectionLimit ?? -1;
  if (!Number.isSafeInteger(limit)) throw new TypeError('connectionLimit is not an integer');
  await runStatements(transaction, [
    `ALTER ROLE ${name} LOGIN CONNECTION LIMIT ${limit} PASSWORD ${literal(scramVerifier(role.password))}`,
    ...alterRole(role.roleName, await requestSettings(transaction)),
    `GRANT ${identifier(TENANT_LOGIN_GROUP)} TO ${name}`,
  ]);
}

/**
 * Brings the settings of every login role of requests up to date: of those that lack one. The transaction acts as the
 * owner, who made them. A role that is dropped or changed at this moment is left alone: its settings go with it, or come
 * with the change.
 */
export async function ensureRequestSettings(transaction: DdlTransaction): Promise<void> {
  const settings = await requestSettings(transaction);
  // PostgreSQL stores the empty search path as a quoted list.
  const { search_path: _, ...plain } = settings;
  const stored = Object.entries(plain).map(([setting, value]) => `${setting}=${value}`);
  const { rows } = await sql<{ name: string }>`
    select r.rolname as name from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r on r.oid = m.member
    where m.roleid = pg_catalog.to_regrole(${TENANT_LOGIN_GROUP}) and m.inherit_option
      and exists (select from pg_catalog.pg_auth_members own
                  where own.roleid = r.oid and own.admin_option
                    and own.member = current_user::pg_catalog.regrole)
      and not coalesce(r.rolconfig, '{}') @> ${stored}::text[]`.execute(transaction);
  for (const { name } of rows) {
    const statements = alterRole(name, settings).map((statement) => `${statement};`);
    await runStatements(transaction, [
      `DO $settings$ BEGIN ${statements.join(' ')}
       EXCEPTION WHEN undefined_object OR internal_error THEN NULL; END $settings$`,
    ]);
  }
}

async function requestSettings(transaction: DdlTransaction): Promise<Record<string, string | number>> {
  const { rows } = await sql<{ may: boolean }>`
    select pg_catalog.has_parameter_privilege('temp_file_limit', 'SET') as may`.execute(transaction);
  return { ...REQUEST_SETTINGS, ...(rows[0]?.may ? { temp_file_limit: TEMP_FILE_LIMIT } : {}) };
}

function alterRole(roleName: string, settings: Record<string, string | number>): string[] {
  return Object.entries(settings).map(
    ([setting, value]) =>
      `ALTER ROLE ${identifier(roleName)} SET ${setting} = ${typeof value === 'number' ? value : literal(value)}`,
  );
}

/** The owner logs in as itself for later DDL; the master may act as it, and only where it says so (SET ROLE). */
export async function ensureOwnerRole(transaction: DdlTransaction, password: string): Promise<void> {
  await ensureRole(transaction, OWNER_ROLE);
  const owner = identifier(OWNER_ROLE);
  await runStatements(transaction, [
    `ALTER ROLE ${owner} LOGIN CREATEROLE PASSWORD ${literal(scramVerifier(password))}`,
    `ALTER ROLE ${owner} SET search_path = ''`,
  ]);
  const { rows } = await sql<{ may: boolean }>`
    select pg_catalog.pg_has_role(current_user, ${OWNER_ROLE}, 'SET') as may`.execute(transaction);
  // Since PostgreSQL 16 who creates a role may administer it, but neither act as it nor inherit from it.
  if (!rows[0]?.may)
    await runStatements(transaction, [`GRANT ${owner} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE`]);
}

/**
 * What moves between clusters ask of the owner: it publishes and subscribes, makes the replication role of a move, and
 * sees when the last transaction on an abandoned place has ended. `pg_signal_backend` lets the functions of `tenancy` end
 * a session that holds another tenant's lock. RDS lends the right to replicate through the role `rds_replication`, and
 * gives nobody the attribute; other PostgreSQL has only the attribute.
 */
export async function grantReplication(transaction: DdlTransaction): Promise<void> {
  const owner = identifier(OWNER_ROLE);
  const { rows } = await sql<{ lends: boolean }>`
    select pg_catalog.to_regrole('rds_replication') is not null as lends`.execute(transaction);
  await runStatements(transaction, [
    `GRANT pg_create_subscription, pg_monitor, pg_signal_backend TO ${owner}`,
    rows[0]?.lends
      ? `GRANT rds_replication TO ${owner} WITH ADMIN OPTION`
      : `ALTER ROLE ${owner} REPLICATION`,
  ]);
}

/** A role that may do nothing yet. Its creator administers it. */
export async function ensureRole(transaction: DdlTransaction, roleName: string): Promise<void> {
  const name = identifier(roleName);
  const { rows } = await sql`select 1 from pg_catalog.pg_roles where rolname = ${roleName}`.execute(
    transaction,
  );
  if (rows.length > 0) return;
  await runStatements(transaction, [`CREATE ROLE ${name} NOLOGIN`]);
}

const ITERATIONS = 4096;

/**
 * The SCRAM-SHA-256 verifier that PostgreSQL stores for a password (RFC 5803), computed here so that the password
 * itself never reaches a statement, and so never a server log. `psql`'s \password does the same.
 * @throws {TypeError} unless the password is printable ASCII: anything else would need SASLprep.
 */
export function scramVerifier(password: string): string {
  if (!/^[\x20-\x7e]+$/.test(password)) throw new TypeError('a database password is printable ASCII');
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
