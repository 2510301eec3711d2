/**
 * The targets of a rollout in the registry: which lag, where they are, and what became of them.
 *
 * States of a target:  pending ──▶ succeeded | failed
 *                      pending ──▶ deferred ──▶ succeeded | failed | deferred
 * Invariant: a target's version in the registry is never ahead of what its database has. It is written after the
 * database has committed, so a function that dies in between leaves a target that is found up to date the next time.
 *
 * The reason of a pending target is why it failed in the rollout before: it comes last.
 */
import type { Release } from '../database/provisioning/release.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import type { OwnedDatabase } from '../provisioning/owner-connection.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { IsolationModel } from '../registry/tenant-record.ts';

type Versions = Pick<Release, 'schemaVersion' | 'tenancyVersion'>;

/**
 * Cells and tenants' own schemas of the region that are behind a release; a tenant that is not placed yet is created at
 * its newest version. Columns: target, isolation_model, cell_id, tenant_id, from_version.
 */
const LAGGING = `
  SELECT 'cell ' || c.cell_id AS target, 'shared' AS isolation_model, c.cell_id, NULL::uuid AS tenant_id,
         c.schema_version AS from_version
  FROM cells c
  WHERE c.region = :region AND (c.schema_version < :schemaVersion::int OR c.tenancy_version < :tenancyVersion::int)
  UNION ALL
  SELECT 'tenant ' || t.tenant_id, r.isolation_model, r.cell_id, t.tenant_id, r.schema_version
  FROM tenants t JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
  WHERE r.region = :region AND t.status IN ('active', 'suspended') AND r.isolation_model <> 'shared'
    AND (r.schema_version < :schemaVersion::int
         OR r.isolation_model = 'dedicated' AND r.tenancy_version < :tenancyVersion::int)`;

/** Whether something lags behind the release. One statement: a deployment asks it each time. */
export async function somethingLags(
  registry: RegistryExecutor,
  region: string,
  { schemaVersion, tenancyVersion }: Versions,
): Promise<boolean> {
  const rows = await registry.query(`SELECT 1 AS lags FROM (${LAGGING}) AS lagging LIMIT 1`, {
    ...{ region, schemaVersion, tenancyVersion },
  });
  return rows.length > 0;
}

/** Lists what lags as pending targets of the rollout, without those of some tenants. Repeating it adds nothing. */
export async function listTargets(
  transaction: RegistryExecutor,
  { rolloutId, region, except }: { rolloutId: string; region: string; except: readonly string[] },
  { schemaVersion, tenancyVersion }: Versions,
): Promise<void> {
  await transaction.query(
    `INSERT INTO schema_rollout_targets
            (rollout_id, target, isolation_model, cell_id, tenant_id, from_version, reason)
     SELECT :rolloutId::uuid, l.target, l.isolation_model, l.cell_id, l.tenant_id, l.from_version, f.reason
     FROM (${LAGGING}) AS l
     LEFT JOIN schema_rollout_targets f ON f.target = l.target AND f.state = 'failed' AND f.rollout_id = (
       SELECT rollout_id FROM schema_rollouts WHERE rollout_id <> :rolloutId::uuid ORDER BY started_at DESC LIMIT 1)
     WHERE NOT EXISTS (
       SELECT FROM tenants t, jsonb_array_elements_text(:except::jsonb) AS e (reference)
       WHERE t.tenant_id = l.tenant_id AND e.reference IN (t.tenant_slug, t.tenant_id::text))
     ON CONFLICT (rollout_id, target) DO NOTHING`,
    { rolloutId, region, except: JSON.stringify(except), schemaVersion, tenancyVersion },
  );
}

/** Targets that are worked on one after the other, in waves: those of a cell, or all dedicated databases. */
export type Group = string;

const GROUP = `COALESCE('cell ' || g.cell_id, 'dedicated')`;

export async function groupsOf(registry: RegistryExecutor, rolloutId: string): Promise<Group[]> {
  const rows = await registry.query<{ name: string }>(
    `SELECT DISTINCT ${GROUP} AS name FROM schema_rollout_targets g
     WHERE g.rollout_id = :rolloutId::uuid AND g.state <> 'succeeded' ORDER BY 1`,
    { rolloutId },
  );
  return rows.map(({ name }) => name);
}

/** A database with its schema `tenancy` and shared tables. */
export interface CellPlace {
  readonly kind: 'cell';
  readonly cellId: string;
  readonly database: OwnedDatabase;
  readonly starterRole: string;
  readonly schemaVersion: number;
  readonly tenancyVersion: number;
}

/** A tenant's own schema, in a cell or in a database of its own. */
export interface SchemaPlace {
  readonly kind: 'schema' | 'dedicated';
  readonly tenantId: string;
  readonly epoch: number;
  readonly schemaName: string;
  readonly roleName: string;
  readonly database: OwnedDatabase;
  readonly schemaVersion: number;
  /** Of the dedicated database; of a cell's database the cell's target knows it. */
  readonly tenancyVersion: number;
  /** The registry has a running move of the tenant. */
  readonly isMoving: boolean;
}

export interface Target {
  readonly target: string;
  readonly group: Group;
  readonly attempts: number;
  /** Why it was deferred, or failed in the rollout before. */
  readonly reason: string | null;
  /** Undefined: the tenant has left the region, its schema, or Strata since it was listed. */
  readonly place: CellPlace | SchemaPlace | undefined;
}

interface TargetRow {
  readonly target: string;
  readonly group_key: string;
  readonly attempts: number;
  readonly reason: string | null;
  readonly tenant_id: string | null;
  readonly isolation_model: IsolationModel | null;
  readonly epoch: number | string | null;
  readonly schema_name: string | null;
  readonly role_name: string | null;
  readonly schema_version: number | null;
  readonly tenancy_version: number | null;
  readonly is_moving: boolean;
  readonly cell_id: string | null;
  readonly writer_host: string | null;
  readonly database_port: number;
  readonly database_name: string;
  readonly owner_secret_arn: string | null;
  readonly starter_role_name: string | null;
}

const SELECT_TARGETS = `
  SELECT g.target, ${GROUP} AS group_key, g.attempts, g.reason, g.tenant_id::text AS tenant_id,
         CASE WHEN g.tenant_id IS NULL THEN 'shared' ELSE r.isolation_model END AS isolation_model,
         r.epoch, r.schema_name, r.role_name,
         COALESCE(r.schema_version, c.schema_version) AS schema_version,
         COALESCE(r.tenancy_version, c.tenancy_version) AS tenancy_version,
         EXISTS (SELECT FROM tenant_moves m WHERE m.tenant_id = g.tenant_id AND m.status = 'running') AS is_moving,
         c.cell_id, COALESCE(c.writer_host, r.writer_host) AS writer_host,
         COALESCE(c.database_port, r.database_port) AS database_port,
         COALESCE(c.database_name, r.database_name) AS database_name, c.owner_secret_arn, c.starter_role_name
  FROM schema_rollout_targets g
  LEFT JOIN (tenants t JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id)
    ON t.tenant_id = g.tenant_id AND t.status IN ('active', 'suspended')
  LEFT JOIN cells c ON c.cell_id = CASE WHEN g.tenant_id IS NULL THEN g.cell_id ELSE r.cell_id END
  WHERE g.rollout_id = :rolloutId::uuid`;

/**
 * The next targets of a group that are not done, at most `limit`: the cell before the schemas in it, then those that
 * have not failed before, and deferred ones last.
 * @param without targets that were tried a moment ago.
 */
export async function openTargets(
  registry: RegistryExecutor,
  { rolloutId, group, without }: { rolloutId: string; group: Group; without: readonly string[] },
  limit: number,
): Promise<Target[]> {
  const rows = await registry.query<TargetRow>(
    `${SELECT_TARGETS} AND ${GROUP} = :group AND g.state IN ('pending', 'working', 'deferred')
       AND g.target NOT IN (SELECT jsonb_array_elements_text(:without::jsonb))
     ORDER BY g.tenant_id IS NOT NULL, g.state = 'deferred', g.reason IS NOT NULL, g.attempts, g.target
     LIMIT :limit::int`,
    { rolloutId, group, without: JSON.stringify(without), limit },
  );
  return rows.map(toTarget);
}

/**
 * What the canary of an isolation model may be, the best first; none where one has succeeded already. A cell with
 * schemas that lag comes before one without, and a schema waits for its cell.
 */
export async function canariesOf(
  registry: RegistryExecutor,
  rolloutId: string,
  model: IsolationModel,
  limit: number,
): Promise<Target[]> {
  const rows = await registry.query<TargetRow>(
    `${SELECT_TARGETS} AND g.isolation_model = :model AND g.state IN ('pending', 'working')
       AND NOT EXISTS (SELECT FROM schema_rollout_targets s WHERE s.rollout_id = g.rollout_id
                       AND s.isolation_model = g.isolation_model AND s.state = 'succeeded')
       AND NOT EXISTS (SELECT FROM schema_rollout_targets s WHERE s.rollout_id = g.rollout_id
                       AND g.isolation_model = 'schema' AND s.isolation_model = 'shared'
                       AND s.cell_id = g.cell_id AND s.state <> 'succeeded')
     ORDER BY g.reason IS NOT NULL,
       EXISTS (SELECT FROM schema_rollout_targets s WHERE s.rollout_id = g.rollout_id
               AND s.isolation_model = 'schema' AND s.cell_id = g.cell_id) DESC, g.target
     LIMIT :limit::int`,
    { rolloutId, model, limit },
  );
  return rows.map(toTarget);
}

function toTarget(row: TargetRow): Target {
  const { target, group_key: group, attempts, reason } = row;
  return { target, group, attempts, reason, place: toPlace(row) };
}

function toPlace(row: TargetRow): CellPlace | SchemaPlace | undefined {
  if (row.writer_host === null || row.isolation_model === null) return undefined;
  const { tenant_id: tenantId } = row;
  const database = {
    ...{ writerHost: row.writer_host, port: row.database_port, database: row.database_name },
    ownerSecret: row.owner_secret_arn ?? dedicatedSecretName(tenantId ?? '', 'owner'),
  };
  const versions = { schemaVersion: row.schema_version ?? 0, tenancyVersion: row.tenancy_version ?? 0 };
  if (tenantId === null) {
    const starterRole = row.starter_role_name ?? '';
    return { kind: 'cell', cellId: row.cell_id ?? '', database, starterRole, ...versions };
  }
  // Moved to the shared tables, which are its cell's.
  if (row.isolation_model === 'shared') return undefined;
  return {
    ...{ kind: row.isolation_model, tenantId, epoch: Number(row.epoch), isMoving: row.is_moving },
    ...{ schemaName: row.schema_name ?? '', roleName: row.role_name ?? '', database, ...versions },
  };
}

/** What became of a target. Versions are those that its database has now, where they are known. */
export interface Outcome {
  readonly target: string;
  readonly state: 'succeeded' | 'failed' | 'deferred';
  readonly reason: string | null;
  readonly cellId?: string;
  readonly tenantId?: string;
  readonly epoch?: number;
  readonly schemaVersion?: number;
  readonly tenancyVersion?: number;
}

/** Records outcomes with the versions that they are about: one statement, so all of it or nothing. */
export async function recordOutcomes(
  registry: RegistryExecutor,
  rolloutId: string,
  outcomes: readonly Outcome[],
): Promise<void> {
  await registry.query(
    `WITH outcome AS (
       SELECT * FROM jsonb_to_recordset(:outcomes::jsonb) AS o (target text, state text, reason text, "cellId" text,
         "tenantId" uuid, epoch bigint, "schemaVersion" integer, "tenancyVersion" integer)
     ), recorded AS (
       UPDATE schema_rollout_targets g
       SET state = o.state, reason = o.reason, to_version = COALESCE(o."schemaVersion", g.to_version),
           attempts = g.attempts + 1, updated_at = now()
       FROM outcome o WHERE g.rollout_id = :rolloutId::uuid AND g.target = o.target
     ), cell AS (
       UPDATE cells c SET schema_version = greatest(c.schema_version, o."schemaVersion"),
           tenancy_version = greatest(c.tenancy_version, o."tenancyVersion")
       FROM outcome o WHERE c.cell_id = o."cellId"
     ), progress AS (
       UPDATE schema_rollouts SET updated_at = now() WHERE rollout_id = :rolloutId::uuid
     )
     UPDATE tenant_database_routing r SET schema_version = greatest(r.schema_version, o."schemaVersion"),
         tenancy_version = greatest(r.tenancy_version, o."tenancyVersion")
     FROM outcome o WHERE r.tenant_id = o."tenantId" AND r.epoch = o.epoch`,
    { rolloutId, outcomes: JSON.stringify(outcomes) },
  );
}

/** How many targets of a rollout, or of one group of it, are in each state. */
export async function countTargets(
  registry: RegistryExecutor,
  rolloutId: string,
  group?: Group,
): Promise<Record<'pending' | 'deferred' | 'succeeded' | 'failed', number>> {
  const rows = await registry.query<{ state: string; targets: number }>(
    `SELECT CASE g.state WHEN 'working' THEN 'pending' ELSE g.state END AS state, count(*)::int AS targets
     FROM schema_rollout_targets g WHERE g.rollout_id = :rolloutId::uuid
     ${group === undefined ? '' : `AND ${GROUP} = :group`} GROUP BY 1`,
    { rolloutId, ...(group === undefined ? {} : { group }) },
  );
  const counts = { pending: 0, deferred: 0, succeeded: 0, failed: 0 };
  return { ...counts, ...Object.fromEntries(rows.map(({ state, targets }) => [state, targets])) };
}

/** Attempts whose moves take a tenant to another cluster: they leave a cell's shared tables alone. */
export async function relocatingAttempts(registry: RegistryExecutor): Promise<string[]> {
  const rows = await registry.query<{ attempt_id: string }>(
    `SELECT attempt_id::text AS attempt_id FROM tenant_move_hops
     WHERE kind = 'relocate' AND state NOT IN ('settled', 'cleaned', 'rolled-back')`,
  );
  return rows.map(({ attempt_id: attemptId }) => attemptId);
}
