import { type InferResult, sql } from 'kysely';
import type { IsolationModel } from '../contracts/tenant.ts';
import { ResourceNotFound } from '../resources/errors.ts';
import { mergeRows, type PageRequest } from '../resources/keyset-page.ts';
import { askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { type JsonText, parseJson } from './registry-column.ts';
import { asText, rfc3339 } from './registry-expressions.ts';
import { isCut, pageOfBoundedRows, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

/** Number of targets by state. */
export interface TargetCounts {
  readonly total: number;
  readonly pending: number;
  /** Targets that a move keeps; the rollout tries them again. */
  readonly deferred: number;
  readonly succeeded: number;
  readonly failed: number;
}

/** A target that failed, or that must wait for its version. */
export interface TargetView {
  readonly isolationModel: IsolationModel;
  /** null for a dedicated database. */
  readonly cellId: string | null;
  /** null for a cell's shared tables. */
  readonly tenantId: string | null;
  readonly slug: string | null;
  readonly reason: string | null;
  readonly attempts: number;
}

/** A schema rollout as the API shows it in a list. */
export interface ListedRollout {
  readonly rolloutId: string;
  readonly region: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  /** The version that its targets get. */
  readonly schemaVersion: number;
  readonly tenancyVersion: number;
  readonly except: readonly string[];
  readonly targets: TargetCounts;
  readonly models: Readonly<Record<IsolationModel, TargetCounts>>;
  readonly executionArn: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

/** At most `MAX_LISTED` of each; `targets` counts all. */
export interface RolloutView extends ListedRollout {
  readonly failed: readonly TargetView[];
  readonly deferred: readonly TargetView[];
}

const MAX_LISTED = 100;

interface Count {
  readonly model: IsolationModel;
  readonly state: string;
  readonly targets: number;
}

const selectRollouts = (db: RegistrySql) =>
  db
    .selectFrom('schema_rollouts as r')
    .select(['r.rollout_id', 'r.status', 'r.phase', 'r.reason', 'r.schema_version', 'r.tenancy_version'])
    .select(['r.execution_arn', 'r.started_by'])
    .select((eb) => [
      asText(eb.ref('r.input')).as('input'),
      rfc3339(eb.ref('r.started_at')).as('started_at'),
      rfc3339(eb.ref('r.finished_at')).as('finished_at'),
      eb
        .selectFrom((counted) =>
          counted
            .selectFrom('schema_rollout_targets as g')
            .select(['g.isolation_model as model', 'g.state'])
            .select((each) => each.fn.countAll<number>().as('targets'))
            .whereRef('g.rollout_id', '=', 'r.rollout_id')
            .groupBy(['g.isolation_model', 'g.state'])
            .as('c'),
        )
        .select(sql<JsonText<readonly Count[]>>`cast(coalesce(jsonb_agg(c), '[]') as text)`.as('counts'))
        .$asScalar()
        .$notNull()
        .as('counts'),
    ]);

type RolloutRow = InferResult<ReturnType<typeof selectRollouts>>[number];

/** One page of the rollouts of all regions, by their start. @throws {InvalidCursor | RegionUnavailable} */
export async function listRollouts(registries: Regions, page: PageRequest) {
  const order = { alias: 'r', table: 'schema_rollouts', id: 'rollout_id' } as const;
  const { read, positionOf } = startedList(selectRollouts(compilingOnly), order, page);
  const lists = await askRegions(registries, registries.keys, read);
  const rows = lists.map((list, index) =>
    list.map((row) => ({ ...row, region: registries.keys[index] as string })),
  );
  const toItem = (row: RolloutRow & { region?: string }) => toListed(row, row.region ?? '');
  return pageOfBoundedRows(mergeRows(rows, positionOf), page, positionOf, toItem, lists.some(isCut));
}

/** From the region that has its record. @throws {ResourceNotFound | RegionUnavailable} */
export async function findRollout(registries: Regions, rolloutId: string): Promise<RolloutView> {
  const found = await askRegions(registries, registries.keys, (registry) => readRollout(registry, rolloutId));
  const index = found.findIndex((row) => row !== undefined);
  const row = found[index];
  const region = registries.keys[index];
  if (!row || !region) throw new ResourceNotFound('no such rollout');
  return complete(registries.of(region), row, region);
}

/** @throws {ResourceNotFound} */
export async function getRollout(
  registry: RegistryExecutor,
  region: string,
  rolloutId: string,
): Promise<RolloutView> {
  const row = await readRollout(registry, rolloutId);
  if (!row) throw new ResourceNotFound('no such rollout');
  return complete(registry, row, region);
}

async function readRollout(registry: RegistryExecutor, rolloutId: string): Promise<RolloutRow | undefined> {
  return selectRollouts(registrySql(registry)).where('r.rollout_id', '=', rolloutId).executeTakeFirst();
}

async function complete(registry: RegistryExecutor, row: RolloutRow, region: string): Promise<RolloutView> {
  const list = (state: 'failed' | 'deferred') => readTargets(registry, row.rollout_id, state);
  return { ...toListed(row, region), failed: await list('failed'), deferred: await list('deferred') };
}

async function readTargets(
  registry: RegistryExecutor,
  rolloutId: string,
  state: 'failed' | 'deferred',
): Promise<TargetView[]> {
  const rows = await registrySql(registry)
    .selectFrom('schema_rollout_targets as g')
    .leftJoin('tenants as t', 't.tenant_id', 'g.tenant_id')
    .select(['g.isolation_model', 'g.cell_id', 'g.tenant_id', 't.tenant_slug', 'g.reason', 'g.attempts'])
    .where('g.rollout_id', '=', rolloutId)
    .where('g.state', '=', state)
    .orderBy('g.updated_at')
    .orderBy('g.target')
    .limit(MAX_LISTED)
    .execute();
  return rows.map((row) => ({
    isolationModel: row.isolation_model,
    cellId: row.cell_id,
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    reason: row.reason,
    attempts: row.attempts,
  }));
}

function toListed(row: RolloutRow, region: string): ListedRollout {
  const { except = [] } = parseJson(row.input);
  const counts = parseJson(row.counts);
  const of = (model: IsolationModel) => sum(counts.filter((count) => count.model === model));
  return {
    rolloutId: row.rollout_id,
    region,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    schemaVersion: row.schema_version,
    tenancyVersion: row.tenancy_version,
    except,
    targets: sum(counts),
    models: { shared: of('shared'), schema: of('schema'), dedicated: of('dedicated') },
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}

function sum(counts: readonly Count[]): TargetCounts {
  const all = (...states: string[]) =>
    counts.reduce((total, { state, targets }) => total + (states.includes(state) ? targets : 0), 0);
  return {
    total: counts.reduce((total, { targets }) => total + targets, 0),
    pending: all('pending', 'working'),
    deferred: all('deferred'),
    succeeded: all('succeeded'),
    failed: all('failed'),
  };
}
