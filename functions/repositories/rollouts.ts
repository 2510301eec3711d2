import type { RegistryExecutor } from '../registry/data-api.ts';
import type { IsolationModel } from '../registry/tenant-record.ts';
import { askRegions, type Regions } from './ask-region.ts';
import { ResourceNotFound } from './errors.ts';
import { mergeRows, type PageRequest, readCursor } from './keyset-page.ts';
import { isCut, pageOfBoundedRows, readBoundedRows } from './registry-page.ts';

/** How many targets are in each state. */
export interface TargetCounts {
  readonly total: number;
  readonly pending: number;
  /** A move keeps them; they are tried again. */
  readonly deferred: number;
  readonly succeeded: number;
  readonly failed: number;
}

/** A target that did not get its version, or has to wait for it. */
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
  /** What its targets are brought to. */
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

interface RolloutRow {
  readonly rollout_id: string;
  readonly status: ListedRollout['status'];
  readonly phase: string;
  readonly reason: string | null;
  readonly schema_version: number;
  readonly tenancy_version: number;
  readonly input: string;
  /** By model and state. */
  readonly counts: string;
  readonly execution_arn: string | null;
  readonly started_by: string;
  readonly started_at: string;
  readonly finished_at: string | null;
}

const time = (column: string) =>
  `to_char(r.${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${column}`;

const COLUMNS = `r.rollout_id::text AS rollout_id, r.status, r.phase, r.reason, r.schema_version, r.tenancy_version,
  r.input::text AS input, r.execution_arn, r.started_by, ${time('started_at')}, ${time('finished_at')},
  (SELECT COALESCE(jsonb_agg(c), '[]')::text FROM (
     SELECT g.isolation_model AS model, g.state, count(*)::int AS targets FROM schema_rollout_targets g
     WHERE g.rollout_id = r.rollout_id GROUP BY 1, 2) AS c) AS counts`;

/** One page of the rollouts of all regions, in the order in which they were begun. @throws {InvalidCursor | RegionUnavailable} */
export async function listRollouts(registries: Regions, page: PageRequest) {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const select = `SELECT ${COLUMNS} FROM schema_rollouts r
    ${position ? 'WHERE (r.started_at, r.rollout_id) > (:time::timestamptz, :id::uuid)' : ''}
    ORDER BY r.started_at, r.rollout_id LIMIT :rows::integer`;
  const lists = await askRegions(registries, registries.keys, (registry) =>
    readBoundedRows<RolloutRow>(
      registry,
      { select, order: 'started_at, rollout_id', parameters: { ...position } },
      page,
    ),
  );
  const rows = lists.map((list, index) =>
    list.map((row) => ({ ...row, region: registries.keys[index] as string })),
  );
  const positionOf = (row: RolloutRow) => ({ time: row.started_at, id: row.rollout_id });
  const toItem = (row: RolloutRow & { region?: string }) => toListed(row, row.region ?? '');
  return pageOfBoundedRows(mergeRows(rows, positionOf), page, positionOf, toItem, lists.some(isCut));
}

/** Of whichever region has it on record. @throws {ResourceNotFound | RegionUnavailable} */
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
  const [row] = await registry.query<RolloutRow>(
    `SELECT ${COLUMNS} FROM schema_rollouts r WHERE r.rollout_id = :rolloutId::uuid`,
    { rolloutId },
  );
  return row;
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
  const rows = await registry.query<{
    isolation_model: IsolationModel;
    cell_id: string | null;
    tenant_id: string | null;
    tenant_slug: string | null;
    reason: string | null;
    attempts: number;
  }>(
    `SELECT g.isolation_model, g.cell_id, g.tenant_id::text AS tenant_id, t.tenant_slug, g.reason, g.attempts
     FROM schema_rollout_targets g LEFT JOIN tenants t ON t.tenant_id = g.tenant_id
     WHERE g.rollout_id = :rolloutId::uuid AND g.state = :state
     ORDER BY g.updated_at, g.target LIMIT :limit::int`,
    { rolloutId, state, limit: MAX_LISTED },
  );
  return rows.map((row) => ({
    ...{ isolationModel: row.isolation_model, cellId: row.cell_id, tenantId: row.tenant_id },
    ...{ slug: row.tenant_slug, reason: row.reason, attempts: row.attempts },
  }));
}

interface Count {
  readonly model: IsolationModel;
  readonly state: string;
  readonly targets: number;
}

function toListed(row: RolloutRow, region: string): ListedRollout {
  const { except = [] } = JSON.parse(row.input) as { except?: string[] };
  const counts = JSON.parse(row.counts) as Count[];
  const of = (model: IsolationModel) => sum(counts.filter((count) => count.model === model));
  return {
    ...{ rolloutId: row.rollout_id, region, status: row.status, phase: row.phase, reason: row.reason },
    ...{ schemaVersion: row.schema_version, tenancyVersion: row.tenancy_version, except },
    targets: sum(counts),
    models: { shared: of('shared'), schema: of('schema'), dedicated: of('dedicated') },
    ...{ executionArn: row.execution_arn, startedBy: row.started_by },
    ...{ startedAt: row.started_at, finishedAt: row.finished_at },
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
