import { type Expression, type InferResult, type RawBuilder, sql } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import type { PageRequest } from '../resources/keyset-page.ts';
import { findInRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { type JsonText, parseJson } from './registry-column.ts';
import { asText, rfc3339 } from './registry-expressions.ts';
import { pageOfRegions, startedList } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

/** A move as the API shows it. */
export interface MoveView {
  readonly moveId: string;
  readonly tenantId: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  /** One of `tier`, `cell` and `residency`, `size`, or a size with a tier or a residency. */
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

/** Of moves and restores, `m`: each caller selects its own. */
export const selectMoves = (db: RegistrySql) =>
  db
    .selectFrom('tenant_moves as m')
    .select(['m.move_id', 'm.tenant_id', 'm.status', 'm.phase', 'm.reason', 'm.current_pause_ms'])
    .select(['m.execution_arn', 'm.started_by'])
    .select((eb) => [
      asText(eb.ref('m.input')).as('input'),
      asText(eb.ref('m.plan')).as('plan'),
      asText(eb.ref('m.phases')).as('phases'),
      asText(eb.ref('m.report')).as('report'),
      asText(eb.ref('m.restore')).as('restore'),
      eb
        .selectFrom('tenant_move_hops as h')
        .select(
          sql<StatesOfHops>`cast(coalesce(jsonb_object_agg(h.hop_index, h.state), '{}') as text)`.as(
            'states',
          ),
        )
        .whereRef('h.move_id', '=', 'm.move_id')
        .$asScalar()
        .$notNull()
        .as('states'),
      rfc3339(eb.ref('m.abort_requested_at')).as('abort_requested_at'),
      rfc3339(eb.ref('m.started_at')).as('started_at'),
      rfc3339(eb.ref('m.finished_at')).as('finished_at'),
    ]);

type StatesOfHops = JsonText<Readonly<Record<string, string>>>;
export type MoveRow = InferResult<ReturnType<typeof selectMoves>>[number];

/**
 * One page of a tenant's moves in the order of their requests. The record of a move stays in the region where it
 * started.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listMoves(registries: Regions, tenantId: string, page: PageRequest) {
  const moves = selectMoves(compilingOnly).where('m.tenant_id', '=', tenantId).where('m.restore', 'is', null);
  const list = startedList(moves, { alias: 'm', table: 'tenant_moves', id: 'move_id' }, page);
  return pageOfRegions(registries, list, page, toMoveView);
}

/** Reads from a registry that has the tenant's move. @throws {ResourceNotFound} */
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
 * The tenant's move and the region that has its record: the tenant's own, or an earlier one.
 * @throws {ResourceNotFound | RegionUnavailable}
 */
export async function findMoveAndRegion(
  registries: Regions,
  { region, tenantId }: { region: string; tenantId: string },
  moveId: string,
): Promise<{ move: MoveView; region: string }> {
  const stored = await findInRegions(registries, region, (registry) => readMove(registry, tenantId, moveId));
  if (!stored) throw new ResourceNotFound('no such move');
  return { move: stored.found, region: stored.region };
}

async function readMove(
  registry: RegistryExecutor,
  tenantId: string,
  moveId: string,
): Promise<MoveView | undefined> {
  const row = await selectMoves(registrySql(registry))
    .where('m.tenant_id', '=', tenantId)
    .where('m.move_id', '=', moveId)
    .where('m.restore', 'is', null)
    .executeTakeFirst();
  return row && toMoveView(row);
}

/** The phase to show when none was recorded. */
const UNKNOWN_PROGRESS = {
  rowsDone: null,
  rowsTotal: null,
  bytesDone: null,
  bytesTotal: null,
  lagBytes: null,
  pauseMs: null,
};

export function toMoveView(row: MoveRow): MoveView {
  const { targetTier, targetCell, targetResidency, targetSize, force = false } = parseJson(row.input);
  const plan = parseJson(row.plan);
  const states = parseJson(row.states);
  const phases = parseJson(row.phases);
  return {
    moveId: row.move_id,
    tenantId: row.tenant_id,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    target: {
      ...(targetTier ? { tier: targetTier } : {}),
      ...(targetCell ? { cell: targetCell } : {}),
      ...(targetResidency ? { residency: targetResidency } : {}),
      ...(targetSize ? { size: targetSize } : {}),
    },
    force,
    plan: plan.map(({ kind, from, to }, hop) => ({ hop, kind, from, to, state: states[hop] ?? 'planned' })),
    phases: phases.map(({ hop, name, status, startedAt, finishedAt, ...progress }) => ({
      hop,
      name,
      status,
      startedAt,
      finishedAt,
      ...UNKNOWN_PROGRESS,
      ...progress,
    })),
    currentPauseMs: row.current_pause_ms,
    report: row.report === null ? null : parseJson(row.report),
    abortRequestedAt: row.abort_requested_at,
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}

/**
 * A follow-up move takes a tenant that came from another region to the place of its tier. It changes the isolation
 * model, but not the tier. It is recognized by its execution's name.
 */
export const followUpExecutionName = (moveId: string) => `onward-${moveId}`;

/** True when a move is not a follow-up move; it may have no execution. */
export const isNoFollowUp = (executionArn: Expression<string | null>): RawBuilder<boolean> =>
  sql`(${executionArn} ~ ':onward-[0-9a-f-]{36}$') is not true`;
