import { sql } from 'kysely';
import { type DdlTransaction, runStatements } from '../ddl/ddl-connection.ts';
import { OWNER_ROLE, TENANT_LOGIN_GROUP } from './data-roles.ts';
import { tenancyFunctions } from './tenancy-functions.ts';

/**
 * The placements in this database. States of a row and who changes them:
 *
 *   active ──fence (attempt)──▶ fenced ──commit (attempt)──▶ active in the next epoch (reshape) | moved (relocate)
 *      ▲                        │
 *      └── attempt, clear_fence ┘
 *
 * Invariants: `epoch` only grows; a fence has a token and an expiry; a commit sets epoch + 1 and stores in `forward`
 * the new placement, which a caller of the previous epoch gets if its role is `previous_role_name`. An attempt changes
 * a row only while it holds the tenant's writers' lock (`tenancy.lock_key`) exclusively; writers hold it shared until
 * they end. `mover` is the attempt that has claimed the tenant here: only its transactions may work, and they hold the
 * attempts' lock (`tenancy.mover_key`) shared; revoking the claim takes that lock exclusively. `former` is the row that
 * a relocate to here has replaced (the tenant was here before), until the hop is settled.
 */
const placementTable = `
CREATE TABLE IF NOT EXISTS tenancy.placement (
  tenant_id uuid PRIMARY KEY,
  epoch bigint NOT NULL CHECK (epoch > 0),
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'fenced', 'moved')),
  capture boolean NOT NULL DEFAULT false,
  isolation_model text NOT NULL CHECK (isolation_model IN ('shared', 'schema', 'dedicated')),
  schema_name text NOT NULL CHECK (schema_name ~ '^[a-z_][a-z0-9_]{0,62}$'),
  role_name text NOT NULL CHECK (role_name ~ '^[a-z_][a-z0-9_]{0,62}$'),
  fence_token uuid,
  fence_expires_at timestamp with time zone,
  forward jsonb,
  previous_role_name text,
  mover uuid,
  former jsonb,
  CHECK (state <> 'fenced' OR (fence_token IS NOT NULL AND fence_expires_at IS NOT NULL)),
  CHECK (state <> 'moved' OR forward IS NOT NULL),
  CHECK ((isolation_model = 'shared') = (schema_name = 'shared'))
)`;

/** Keys of rows that were written while the tenant's `capture` was on; `tenancy.capture_change` fills it. */
const capturedChanges = `
CREATE TABLE IF NOT EXISTS tenancy.captured_changes (
  tenant_id uuid NOT NULL,
  table_name text NOT NULL,
  row_key jsonb NOT NULL
)`;

/** Number of requests that were repeated because of a move, per placement. */
const retriedRequests = `
CREATE TABLE IF NOT EXISTS tenancy.retried_requests (
  tenant_id uuid NOT NULL,
  epoch bigint NOT NULL,
  requests integer NOT NULL,
  PRIMARY KEY (tenant_id, epoch)
)`;

const grants: readonly string[] = [
  'REVOKE ALL ON SCHEMA tenancy FROM PUBLIC',
  'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tenancy FROM PUBLIC',
  `GRANT USAGE ON SCHEMA tenancy TO ${TENANT_LOGIN_GROUP}`,
  // Only the owner reads `placement`, or enters as an attempt.
  ...[
    'enter(uuid, bigint, text)',
    'clear_fence(uuid, uuid)',
    'current_tenant()',
    'note_retry(uuid, bigint)',
    'relieve_lock_table()',
  ].map((signature) => `GRANT EXECUTE ON FUNCTION tenancy.${signature} TO ${TENANT_LOGIN_GROUP}`),
];

/** Not `ADD COLUMN IF NOT EXISTS`: that takes a lock that all requests wait for, even when there is nothing to add. */
const addColumn = (name: string, type: string) => `
DO $add$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute
                 WHERE attrelid = 'tenancy.placement'::pg_catalog.regclass AND attname = '${name}') THEN
    ALTER TABLE tenancy.placement ADD COLUMN ${name} ${type};
  END IF;
END $add$`;

/**
 * Version of schema `tenancy` as the statements below make it. Raise it with every change of them: a rollout updates
 * only databases with a lower version. (A test compares the statements with the version.)
 */
export const TENANCY_VERSION = 3;

/**
 * The statements create schema `tenancy`, or update any earlier version: the functions are replaced, and running calls
 * finish with the old ones. They run as the owner.
 */
export const tenancyStatements: readonly string[] = [
  `CREATE SCHEMA IF NOT EXISTS tenancy AUTHORIZATION ${OWNER_ROLE}`,
  placementTable,
  addColumn('mover', 'uuid'),
  addColumn('former', 'jsonb'),
  capturedChanges,
  retriedRequests,
  'CREATE INDEX IF NOT EXISTS captured_changes_tenant ON tenancy.captured_changes (tenant_id, table_name, row_key)',
  ...tenancyFunctions,
  ...grants,
];

/** Runs the statements of a release and records its version in the database, in the caller's transaction. */
export async function writeTenancy(
  transaction: DdlTransaction,
  { tenancyVersion, tenancyStatements: statements }: TenancyRelease,
): Promise<void> {
  if (!Number.isSafeInteger(tenancyVersion)) throw new TypeError('tenancyVersion is not an integer');
  await runStatements(transaction, [
    ...statements,
    `COMMENT ON SCHEMA tenancy IS 'version ${tenancyVersion}'`,
  ]);
}

interface TenancyRelease {
  readonly tenancyVersion: number;
  readonly tenancyStatements: readonly string[];
}

/** The version of schema `tenancy` in this database: 1 when none is recorded, 0 when there is no such schema. */
export async function readTenancyVersion(transaction: DdlTransaction): Promise<number> {
  const { rows } = await sql<{ version: number }>`
    select coalesce(substring(pg_catalog.obj_description(oid, 'pg_namespace') from '^version ([0-9]{1,9})$')::int, 1)
      as version
    from pg_catalog.pg_namespace where nspname = 'tenancy'`.execute(transaction);
  return rows[0]?.version ?? 0;
}
