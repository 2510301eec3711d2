import { type Expression, type InferResult, type RawBuilder, sql } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import { mergeRows, type PageRequest, readCursor } from '../resources/keyset-page.ts';
import { askRegion, askRegions, type Regions } from './ask-region.ts';
import type { RegistryExecutor } from './data-api.ts';
import { type JsonText, parseJson } from './registry-column.ts';
import { asText, columnValue, rfc3339 } from './registry-expressions.ts';
import { isCut, pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';

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

const selectMoves = (db: RegistrySql) =>
  db
    .selectFrom('tenant_moves as m')
    .select(['m.move_id', 'm.tenant_id', 'm.status', 'm.phase', 'm.reason', 'm.current_pause_ms'])
    .select(['m.execution_arn', 'm.started_by'])
    .select((eb) => [
      asText(eb.ref('m.input')).as('input'),
      asText(eb.ref('m.plan')).as('plan'),
      asText(eb.ref('m.phases')).as('phases'),
      asText(eb.ref('m.report')).as('report'),
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
type MoveRow = InferResult<ReturnType<typeof selectMoves>>[number];

/**
 * One page of a tenant's moves, in the order in which they were asked for: a move stays on record in the region that
 * the tenant left by it.
 * @throws {InvalidCursor | RegionUnavailable}
 */
export async function listMoves(registries: Regions, tenantId: string, page: PageRequest) {
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const moves = selectMoves(compilingOnly)
    .where('m.tenant_id', '=', tenantId)
    .orderBy('m.started_at')
    .orderBy('m.move_id');
  const select = position
    ? moves.where((eb) =>
        eb(
          eb.refTuple('m.started_at', 'm.move_id'),
          '>',
          eb.tuple(columnValue('tenant_moves.started_at', position.time), position.id),
        ),
      )
    : moves;
  const order = sql`started_at, move_id`;
  const lists = await askRegions(registries, registries.keys, (registry) =>
    readBoundedRows(registry, { select, order }, page),
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
  const row = await selectMoves(registrySql(registry))
    .where('m.tenant_id', '=', tenantId)
    .where('m.move_id', '=', moveId)
    .executeTakeFirst();
  return row && toView(row);
}

/** What a phase shows although nothing was told of it. */
const UNKNOWN_PROGRESS = {
  rowsDone: null,
  rowsTotal: null,
  bytesDone: null,
  bytesTotal: null,
  lagBytes: null,
  pauseMs: null,
};

function toView(row: MoveRow): MoveView {
  const { targetTier, targetCell, targetResidency, force = false } = parseJson(row.input);
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
 * A follow-up move brings a tenant that has come from another region to where its tier belongs. It changes the isolation model,
 * but not what the tenant has bought. It is recognized by its execution's name.
 */
export const followUpExecutionName = (moveId: string) => `onward-${moveId}`;

/** Whether a move is no follow-up move; it may have no execution. */
export const isNoFollowUp = (executionArn: Expression<string | null>): RawBuilder<boolean> =>
  sql`(${executionArn} ~ ':onward-[0-9a-f-]{36}$') is not true`;
