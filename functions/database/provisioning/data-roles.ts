import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import {
  ANALYTICS_ROLE,
  type DdlTransaction,
  OWNER_ROLE,
  runStatements,
  TENANT_LOGIN_GROUP,
} from '../ddl/ddl-connection.ts';
import { identifier, literal } from '../ddl/identifier.ts';

export { ANALYTICS_ROLE, OWNER_ROLE, TENANT_LOGIN_GROUP };

/**
 * Limits of a request's transaction, as role settings: the proxy refuses them as startup parameters, and a session
 * `SET` would leak to the next tenant on the connection. The search path is empty because its default, `"$user"`, names
 * a tenant's own schema.
 */
const REQUEST_SETTINGS = {
  statement_timeout: '15s',
  idle_in_transaction_session_timeout: '10s',
  transaction_timeout: '30s',
  // Longer than a pool keeps an idle connection. It ends sessions that only hold on to something.
  idle_session_timeout: '5min',
  search_path: '',
} as const;

/**
 * Kilobytes of temporary files of one session. Only a superuser, or a role with that grant, may set it; RDS grants it
 * to no role.
 */
const TEMP_FILE_LIMIT = 4_194_304;

export interface LoginRole {
  readonly roleName: string;
  readonly password: string;
  /** Connections that the role may hold at once; unlimited when absent. */
  readonly connectionLimit?: number;
}

/** Creates the role when it is missing; always sets password, limit and settings. */
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
 * Updates the settings of every request login role that lacks one. The transaction acts as the owner, which created the
 * roles. A role that is being dropped or changed concurrently is skipped: its settings disappear with it, or the other
 * change sets them.
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

/** The owner logs in itself for later DDL; the master may act as the owner, but only with an explicit SET ROLE. */
export async function ensureOwnerRole(transaction: DdlTransaction, password: string): Promise<void> {
  await ensureRole(transaction, OWNER_ROLE);
  const owner = identifier(OWNER_ROLE);
  await runStatements(transaction, [
    `ALTER ROLE ${owner} LOGIN CREATEROLE PASSWORD ${literal(scramVerifier(password))}`,
    `ALTER ROLE ${owner} SET search_path = ''`,
  ]);
  const { rows } = await sql<{ may: boolean }>`
    select pg_catalog.pg_has_role(current_user, ${OWNER_ROLE}, 'SET') as may`.execute(transaction);
  // Since PostgreSQL 16 the creator of a role may administer it, but neither act as it nor inherit from it.
  if (!rows[0]?.may)
    await runStatements(transaction, [`GRANT ${owner} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE`]);
}

/**
 * Rights that relocates need: the owner publishes and subscribes, makes the replication role of a move, and sees when
 * the last transaction at the source has ended. `pg_signal_backend` lets the functions of `tenancy` end a session that
 * holds another tenant's lock. On RDS the right to replicate comes from the role `rds_replication`; RDS sets the role
 * attribute for nobody. Other PostgreSQL has only the attribute.
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

/**
 * The role that owns the summaries of the shared tables. It has no login, no role inherits its rights, and only the owner
 * may act as it, by an explicit SET ROLE, for DDL. The master creates it, so the owner cannot grant it to another role.
 */
export async function ensureAnalyticsRole(transaction: DdlTransaction): Promise<void> {
  await ensureRole(transaction, ANALYTICS_ROLE);
  const { rows } = await sql<{ may: boolean }>`
    select pg_catalog.pg_has_role(${OWNER_ROLE}::name, ${ANALYTICS_ROLE}::name, 'SET') as may`.execute(
    transaction,
  );
  if (rows[0]?.may) return;
  await runStatements(transaction, [
    `GRANT ${identifier(ANALYTICS_ROLE)} TO ${identifier(OWNER_ROLE)} WITH SET TRUE, INHERIT FALSE`,
  ]);
}

/** A role without rights. Its creator administers it. */
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
 * itself never appears in a statement or a server log. `psql`'s \password does the same.
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
