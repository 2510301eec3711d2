/**
 * The targets of a rollout in the registry: which ones lag, where they are, and their outcomes.
 *
 * States of a target:  pending ──▶ succeeded | failed
 *                      pending ──▶ deferred ──▶ succeeded | failed | deferred
 *
 * Invariant: a target's version in the registry is never ahead of its database. It is written after the database has
 * committed, so a function that dies in between leaves a target that the next run finds up to date.
 *
 * The reason of a pending target is why it failed in the rollout before; such a target comes last.
 */

import { type InferResult, sql } from 'kysely';
import { IN_USE, type IsolationModel } from '../contracts/tenant.ts';
import type { Release } from '../database/provisioning/release.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import { ownerSecretOf } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { asText, columnValue, jsonValue, textList } from '../registry/registry-expressions.ts';
import { compilingOnly, type RegistrySql, registrySql } from '../registry/registry-sql.ts';

type Versions = Pick<Release, 'schemaVersion' | 'tenancyVersion'>;

/**
 * Cells and tenants' own schemas of the region that are behind a release. A tenant without a place is left out, because
 * it is created at the newest version.
 */
const lagging = (region: string, { schemaVersion, tenancyVersion }: Versions) =>
  compilingOnly
    .selectFrom('cells as c')
    .select((eb) => [
      sql<string>`'cell ' || ${eb.ref('c.cell_id')}`.as('target'),
      sql<IsolationModel>`'shared'`.as('isolation_model'),
      eb.ref('c.cell_id').$castTo<string | null>().as('cell_id'),
      sql<string | null>`cast(null as uuid)`.as('tenant_id'),
      'c.schema_version as from_version',
    ])
    .where('c.region', '=', region)
    .where((eb) =>
      eb.or([eb('c.schema_version', '<', schemaVersion), eb('c.tenancy_version', '<', tenancyVersion)]),
    )
    .unionAll(
      compilingOnly
        .selectFrom('tenants as t')
        .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
        .select((eb) => [
          sql<string>`'tenant ' || ${eb.ref('t.tenant_id')}`.as('target'),
          'r.isolation_model',
          'r.cell_id',
          eb.ref('t.tenant_id').$castTo<string | null>().as('tenant_id'),
          'r.schema_version as from_version',
        ])
        .where('r.region', '=', region)
        .where('t.status', 'in', IN_USE)
        .where('r.isolation_model', '<>', 'shared')
        .where((eb) =>
          eb.or([
            eb('r.schema_version', '<', schemaVersion),
            eb.and([eb('r.isolation_model', '=', 'dedicated'), eb('r.tenancy_version', '<', tenancyVersion)]),
          ]),
        ),
    );

/** True when a target lags behind the release. One statement, because every deployment runs it. */
export async function somethingLags(
  registry: RegistryExecutor,
  region: string,
  versions: Versions,
): Promise<boolean> {
  const rows = await registrySql(registry)
    .selectFrom(lagging(region, versions).as('lagging'))
    .select('lagging.target')
    .limit(1)
    .execute();
  return rows.length > 0;
}

/**
 * Lists the lagging targets as pending targets of the rollout, without those of some tenants. Repeating it adds
 * nothing.
 */
export async function listTargets(
  transaction: RegistryExecutor,
  { rolloutId, region, except }: { rolloutId: string; region: string; except: readonly string[] },
  versions: Versions,
): Promise<void> {
  await registrySql(transaction)
    .insertInto('schema_rollout_targets')
    .columns([
      ...(['rollout_id', 'target', 'isolation_model', 'cell_id', 'tenant_id', 'from_version'] as const),
      'reason',
    ])
    .expression((db) =>
      db
        .selectFrom(lagging(region, versions).as('l'))
        .leftJoin('schema_rollout_targets as f', (join) =>
          join
            .onRef('f.target', '=', 'l.target')
            .on('f.state', '=', 'failed')
            .on((eb) =>
              eb(
                'f.rollout_id',
                '=',
                eb
                  .selectFrom('schema_rollouts as before')
                  .select('before.rollout_id')
                  .where('before.rollout_id', '<>', rolloutId)
                  .orderBy('before.started_at', 'desc')
                  .limit(1),
              ),
            ),
        )
        .select([
          columnValue('schema_rollout_targets.rollout_id', rolloutId).as('rollout_id'),
          ...(['l.target', 'l.isolation_model', 'l.cell_id', 'l.tenant_id', 'l.from_version'] as const),
          'f.reason',
        ])
        .where(
          sql<boolean>`not exists (
            select from tenants as t, ${textList(except)} as e (reference)
             where t.tenant_id = l.tenant_id
               and e.reference in (t.tenant_slug, ${asText(sql.ref('t.tenant_id'))}))`,
        ),
    )
    .onConflict((other) => other.columns(['rollout_id', 'target']).doNothing())
    .execute();
}

/** Targets that are worked on in waves, one group after the other: those of a cell, or all dedicated databases. */
export type Group = string;

/** For `schema_rollout_targets as g`. */
const groupKey = sql<Group>`coalesce('cell ' || g.cell_id, 'dedicated')`;

export async function groupsOf(registry: RegistryExecutor, rolloutId: string): Promise<Group[]> {
  const rows = await registrySql(registry)
    .selectFrom('schema_rollout_targets as g')
    .select(groupKey.as('name'))
    .distinct()
    .where('g.rollout_id', '=', rolloutId)
    .where('g.state', '<>', 'succeeded')
    .orderBy('name')
    .execute();
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
  /** Of the dedicated database; for a cell's database the cell's target has it. */
  readonly tenancyVersion: number;
  /** True while the registry has a running move of the tenant. */
  readonly isMoving: boolean;
}

export interface Target {
  readonly target: string;
  readonly group: Group;
  readonly attempts: number;
  /** Why it was deferred, or failed in the rollout before. */
  readonly reason: string | null;
  /** undefined when the tenant is no longer in the region, in that schema, or in Strata. */
  readonly place: CellPlace | SchemaPlace | undefined;
}

const selectTargets = (db: RegistrySql, rolloutId: string) =>
  db
    .selectFrom('schema_rollout_targets as g')
    .leftJoin('tenants as t', (join) =>
      join.onRef('t.tenant_id', '=', 'g.tenant_id').on('t.status', 'in', IN_USE),
    )
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('cells as c', (join) =>
      join.on((eb) =>
        eb(
          'c.cell_id',
          '=',
          eb.case().when('g.tenant_id', 'is', null).then(eb.ref('g.cell_id')).else(eb.ref('r.cell_id')).end(),
        ),
      ),
    )
    .select(['g.target', groupKey.as('group_key'), 'g.attempts', 'g.reason', 'g.tenant_id'])
    .select(['r.epoch', 'r.schema_name', 'r.role_name', 'c.cell_id', 'c.starter_role_name'])
    .select((eb) => [
      eb.fn.coalesce('c.owner_secret_arn', 'r.owner_secret_arn').as('owner_secret_arn'),
      eb
        .case()
        .when('g.tenant_id', 'is', null)
        .then(sql<IsolationModel>`'shared'`)
        .else(eb.ref('r.isolation_model'))
        .end()
        .as('isolation_model'),
      eb.fn.coalesce('r.schema_version', 'c.schema_version').as('schema_version'),
      eb.fn.coalesce('r.tenancy_version', 'c.tenancy_version').as('tenancy_version'),
      eb.fn.coalesce('c.writer_host', 'r.writer_host').as('writer_host'),
      eb.fn.coalesce('c.database_port', 'r.database_port').as('database_port'),
      eb.fn.coalesce('c.database_name', 'r.database_name').as('database_name'),
      eb
        .exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .whereRef('m.tenant_id', '=', 'g.tenant_id')
            .where('m.status', '=', 'running'),
        )
        .$castTo<boolean>()
        .as('is_moving'),
    ])
    .where('g.rollout_id', '=', rolloutId);

type TargetRow = InferResult<ReturnType<typeof selectTargets>>[number];

/**
 * The next open targets of a group, at most `limit`: the cell before its schemas, then those that have not failed
 * before, deferred ones last.
 * @param without targets that were tried a moment ago.
 */
export async function openTargets(
  registry: RegistryExecutor,
  { rolloutId, group, without }: { rolloutId: string; group: Group; without: readonly string[] },
  limit: number,
): Promise<Target[]> {
  const rows = await selectTargets(registrySql(registry), rolloutId)
    .where(groupKey, '=', group)
    .where('g.state', 'in', ['pending', 'working', 'deferred'])
    .where(sql<boolean>`g.target not in (select ${textList(without)})`)
    .orderBy(sql`g.tenant_id is not null`)
    .orderBy(sql`g.state = 'deferred'`)
    .orderBy(sql`g.reason is not null`)
    .orderBy('g.attempts')
    .orderBy('g.target')
    .limit(limit)
    .execute();
  return rows.map(toTarget);
}

/**
 * Candidates for the canary of an isolation model, the best first; none when one has succeeded already. A cell with
 * lagging schemas comes before one without, and a schema waits for its cell.
 */
export async function canariesOf(
  registry: RegistryExecutor,
  rolloutId: string,
  model: IsolationModel,
  limit: number,
): Promise<Target[]> {
  const rows = await selectTargets(registrySql(registry), rolloutId)
    .where('g.isolation_model', '=', model)
    .where('g.state', 'in', ['pending', 'working'])
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('schema_rollout_targets as s')
            .select('s.target')
            .whereRef('s.rollout_id', '=', 'g.rollout_id')
            .whereRef('s.isolation_model', '=', 'g.isolation_model')
            .where('s.state', '=', 'succeeded'),
        ),
      ),
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('schema_rollout_targets as s')
            .select('s.target')
            .whereRef('s.rollout_id', '=', 'g.rollout_id')
            .where('g.isolation_model', '=', 'schema')
            .where('s.isolation_model', '=', 'shared')
            .whereRef('s.cell_id', '=', 'g.cell_id')
            .where('s.state', '<>', 'succeeded'),
        ),
      ),
    )
    .orderBy(sql`g.reason is not null`)
    .orderBy(
      (eb) =>
        eb.exists(
          eb
            .selectFrom('schema_rollout_targets as s')
            .select('s.target')
            .whereRef('s.rollout_id', '=', 'g.rollout_id')
            .where('s.isolation_model', '=', 'schema')
            .whereRef('s.cell_id', '=', 'g.cell_id'),
        ),
      'desc',
    )
    .orderBy('g.target')
    .limit(limit)
    .execute();
  return rows.map(toTarget);
}

function toTarget(row: TargetRow): Target {
  const { target, group_key: group, attempts, reason } = row;
  return { target, group, attempts, reason, place: toPlace(row) };
}

function toPlace(row: TargetRow): CellPlace | SchemaPlace | undefined {
  const { database_port: port, database_name: name } = row;
  if (row.writer_host === null || row.isolation_model === null || port === null || name === null)
    return undefined;
  const { tenant_id: tenantId } = row;
  const database = {
    writerHost: row.writer_host,
    port,
    database: name,
    ownerSecret: ownerSecretOf(row.owner_secret_arn, tenantId ?? ''),
  };
  const versions = { schemaVersion: row.schema_version ?? 0, tenancyVersion: row.tenancy_version ?? 0 };
  if (tenantId === null) {
    const starterRole = row.starter_role_name ?? '';
    return { kind: 'cell', cellId: row.cell_id ?? '', database, starterRole, ...versions };
  }
  // Moved to the shared tables, which belong to the cell's target.
  if (row.isolation_model === 'shared') return undefined;
  return {
    kind: row.isolation_model,
    tenantId,
    epoch: Number(row.epoch),
    isMoving: row.is_moving,
    schemaName: row.schema_name ?? '',
    roleName: row.role_name ?? '',
    database,
    ...versions,
  };
}

/** The outcome of a target. The versions are those that its database has now, when they are known. */
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

/** Records outcomes with their versions in one statement, so all of them or none. */
export async function recordOutcomes(
  registry: RegistryExecutor,
  rolloutId: string,
  outcomes: readonly Outcome[],
): Promise<void> {
  await sql`
    with outcome as (
      select * from jsonb_to_recordset(${jsonValue(outcomes)}) as o (target text, state text, reason text,
        "cellId" text, "tenantId" uuid, epoch bigint, "schemaVersion" integer, "tenancyVersion" integer)
    ), recorded as (
      update schema_rollout_targets as g
      set state = o.state, reason = o.reason, to_version = coalesce(o."schemaVersion", g.to_version),
          attempts = g.attempts + 1, updated_at = now()
      from outcome as o
      where g.rollout_id = ${columnValue('schema_rollout_targets.rollout_id', rolloutId)} and g.target = o.target
    ), cell as (
      update cells as c set schema_version = greatest(c.schema_version, o."schemaVersion"),
          tenancy_version = greatest(c.tenancy_version, o."tenancyVersion")
      from outcome as o where c.cell_id = o."cellId"
    ), progress as (
      update schema_rollouts set updated_at = now()
      where rollout_id = ${columnValue('schema_rollouts.rollout_id', rolloutId)}
    )
    update tenant_database_routing as r set schema_version = greatest(r.schema_version, o."schemaVersion"),
        tenancy_version = greatest(r.tenancy_version, o."tenancyVersion")
    from outcome as o where r.tenant_id = o."tenantId" and r.epoch = o.epoch`.execute(registrySql(registry));
}

/** Number of targets of a rollout, or of one of its groups, by state. */
export async function countTargets(
  registry: RegistryExecutor,
  rolloutId: string,
  group?: Group,
): Promise<Record<'pending' | 'deferred' | 'succeeded' | 'failed', number>> {
  const rows = await registrySql(registry)
    .selectFrom('schema_rollout_targets as g')
    .select((eb) => [
      eb
        .case()
        .when('g.state', '=', 'working')
        .then(sql<'pending'>`'pending'`)
        .else(eb.ref('g.state'))
        .end()
        .as('state'),
      eb.fn.countAll<number>().as('targets'),
    ])
    .where('g.rollout_id', '=', rolloutId)
    .$if(group !== undefined, (targets) => targets.where(groupKey, '=', group as Group))
    // By position, because the name is also a column.
    .groupBy(sql`1`)
    .execute();
  const counts = { pending: 0, deferred: 0, succeeded: 0, failed: 0 };
  return { ...counts, ...Object.fromEntries(rows.map(({ state, targets }) => [state, targets])) };
}

/** Attempts whose moves take a tenant to another cluster; they do not change a cell's shared tables. */
export async function relocatingAttempts(registry: RegistryExecutor): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_move_hops')
    .select('attempt_id')
    .where('kind', '=', 'relocate')
    .where('state', 'not in', ['settled', 'cleaned', 'rolled-back'])
    .execute();
  return rows.map(({ attempt_id: attemptId }) => attemptId);
}
