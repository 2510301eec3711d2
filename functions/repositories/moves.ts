import type { RegistryExecutor } from '../registry/data-api.ts';
import { askRegion, askRegions, type Regions } from './ask-region.ts';
import { ResourceNotFound } from './errors.ts';
import { mergeRows, type PageRequest, readCursor } from './keyset-page.ts';
import { isCut, pageOfBoundedRows, readBoundedRows } from './registry-page.ts';

/** A move as the API shows it. */
export interface MoveView {
  readonly moveId: string;
  readonly tenantId: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  /** One of `tier`, `cell` and `residency`. */
  readonly target: Readonly<Record<string, string>>;
  readonly force: boolean;
  readonly plan: readonly object[];
  readonly phases: readonly object[];
  readonly currentPauseMs: number | null;
  readonly report: object | null;
  readonly abortRequestedAt: string | null;
  readonly executionArn: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

interface MoveRow {
  readonly move_id: string;
  readonly tenant_id: string;
  readonly status: MoveView['status'];
  readonly phase: string;
  readonly reason: string | null;
  readonly input: string;
  readonly plan: string;
  readonly states: string;
  readonly phases: string;
  readonly current_pause_ms: number | null;
  readonly report: string | null;
  readonly abort_requested_at: string | null;
  readonly execution_arn: string | null;
  readonly started_by: string;
  readonly started_at: string;
  readonly finished_at: string | null;
}

const time = (column: string) =>
  `to_char(m.${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${column}`;

const COLUMNS = `m.move_id::text AS move_id, m.tenant_id::text AS tenant_id, m.status, m.phase, m.reason,
  m.input::text AS input, m.plan::text AS plan, m.phases::text AS phases, m.current_pause_ms,
  m.report::text AS report, m.execution_arn, m.started_by,
  (SELECT COALESCE(jsonb_object_agg(h.hop_index, h.state), '{}')::text FROM tenant_move_hops h
   WHERE h.move_id = m.move_id) AS states,
  ${time('abort_requested_at')}, ${time('started_at')}, ${time('finished_at')}`;

/**
 * One page of a tenant's moves, in the order in which they were asked for: a move stays on record in the region that
 * the tenant left by it.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listMoves(registries: Regions, tenantId: string, page: PageRequest) {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const select = `SELECT ${COLUMNS} FROM tenant_moves m WHERE m.tenant_id = :tenantId::uuid
    ${position ? 'AND (m.started_at, m.move_id) > (:time::timestamptz, :id::uuid)' : ''}
    ORDER BY m.started_at, m.move_id LIMIT :rows::integer`;
  const lists = await askRegions(registries, registries.keys, (registry) =>
    readBoundedRows<MoveRow>(
      registry,
      { select, order: 'started_at, move_id', parameters: { tenantId, ...position } },
      page,
    ),
  );
  const positionOf = (row: MoveRow) => ({ time: row.started_at, id: row.move_id });
  return pageOfBoundedRows(mergeRows(lists, positionOf), page, positionOf, toView, lists.some(isCut));
}

/** Of a registry that has the tenant's move. @throws {ResourceNotFound} */
export async function getMove(
  registry: RegistryExecutor,
  tenantId: string,
  moveId: string,
): Promise<MoveView> {
  const move = await readMove(registry, tenantId, moveId);
  if (!move) throw new ResourceNotFound('no such move');
  return move;
}

/**
 * The tenant's move and the region that has it on record: the tenant's own, or one that it left.
 * @throws {ResourceNotFound | RegionUnavailable}
 */
export async function findMoveAndRegion(
  registries: Regions,
  { region, tenantId }: { region: string; tenantId: string },
  moveId: string,
): Promise<{ move: MoveView; region: string }> {
  const read = (registry: RegistryExecutor) => readMove(registry, tenantId, moveId);
  const move = await askRegion(registries, region, read);
  if (move) return { move, region };
  const others = registries.keys.filter((key) => key !== region);
  const found = await askRegions(registries, others, read);
  const index = found.findIndex((each) => each !== undefined);
  if (index === -1) throw new ResourceNotFound('no such move');
  return { move: found[index] as MoveView, region: others[index] as string };
}

async function readMove(
  registry: RegistryExecutor,
  tenantId: string,
  moveId: string,
): Promise<MoveView | undefined> {
  const [row] = await registry.query<MoveRow>(
    `SELECT ${COLUMNS} FROM tenant_moves m
     WHERE m.tenant_id = :tenantId::uuid AND m.move_id = :moveId::uuid`,
    { tenantId, moveId },
  );
  return row && toView(row);
}

interface StoredInput {
  readonly targetTier?: string;
  readonly targetCell?: string;
  readonly targetResidency?: string;
  readonly force?: boolean;
}

/** What a phase shows although nothing was told of it. */
const UNKNOWN_PROGRESS = {
  ...{ rowsDone: null, rowsTotal: null, bytesDone: null, bytesTotal: null },
  ...{ lagBytes: null, pauseMs: null },
};

function toView(row: MoveRow): MoveView {
  const { targetTier, targetCell, targetResidency, force = false } = JSON.parse(row.input) as StoredInput;
  const plan = JSON.parse(row.plan) as { kind: string; from: object; to: object }[];
  const states = JSON.parse(row.states) as Record<string, string>;
  const phases = JSON.parse(row.phases) as Record<string, unknown>[];
  return {
    ...{
      moveId: row.move_id,
      tenantId: row.tenant_id,
      status: row.status,
      phase: row.phase,
      reason: row.reason,
    },
    target: {
      ...(targetTier ? { tier: targetTier } : {}),
      ...(targetCell ? { cell: targetCell } : {}),
      ...(targetResidency ? { residency: targetResidency } : {}),
    },
    force,
    plan: plan.map(({ kind, from, to }, hop) => ({ hop, kind, from, to, state: states[hop] ?? 'planned' })),
    phases: phases.map(({ hop, name, status, startedAt, finishedAt, ...progress }) => ({
      ...{ hop, name, status, startedAt, finishedAt, ...UNKNOWN_PROGRESS, ...progress },
    })),
    currentPauseMs: row.current_pause_ms,
    report: row.report === null ? null : (JSON.parse(row.report) as object),
    abortRequestedAt: row.abort_requested_at,
    ...{ executionArn: row.execution_arn, startedBy: row.started_by },
    ...{ startedAt: row.started_at, finishedAt: row.finished_at },
  };
}
