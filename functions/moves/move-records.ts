import type { InferResult } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { parseJson } from '../registry/registry-column.ts';
import { now, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Hop, Place } from './hop.ts';
import type { PlannedHop } from './plan.ts';

export type MoveStatus = 'running' | 'succeeded' | 'failed' | 'aborted';

/**
 * States of a hop:
 *   working ──flip──▶ committed ──registry followed, claim released──▶ settled ──source dropped──▶ cleaned
 *   working ──▶ rolling-back ──▶ rolled-back          working or committed ──sides differ──▶ mismatch
 * `committed` is what a step told; whether the hop is committed, the source's database says.
 */
export type HopState =
  | 'working'
  | 'committed'
  | 'settled'
  | 'cleaned'
  | 'rolling-back'
  | 'rolled-back'
  | 'mismatch';

/** A row of `tenant_moves`. */
export interface MoveRecord {
  readonly moveId: string;
  readonly tenantId: string;
  readonly status: MoveStatus;
  readonly phase: string;
  readonly reason: string | null;
  readonly input: Record<string, unknown>;
  readonly plan: readonly PlannedHop[];
  readonly phases: readonly PhaseRecord[];
  readonly abortRequested: boolean;
  readonly executionArn: string | null;
  readonly startedBy: string;
  /** Since it was asked for. */
  readonly ageSeconds: number;
}

/** One entry of `tenant_moves.phases`. */
export interface PhaseRecord {
  readonly hop: number;
  readonly name: string;
  readonly status: 'running' | 'done';
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

/** A row of `tenant_move_hops`. */
export interface HopRecord extends Hop {
  readonly state: HopState;
  readonly result: Readonly<Record<string, unknown>>;
  readonly cleanUpExecutionArn: string | null;
}

const movesQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenant_moves as m')
    .select(['m.move_id', 'm.tenant_id', 'm.status', 'm.phase', 'm.reason', 'm.input', 'm.plan'])
    .select(['m.phases', 'm.execution_arn', 'm.started_by'])
    .select((eb) => [
      eb('m.abort_requested_at', 'is not', null).$castTo<boolean>().as('abort_requested'),
      secondsSince(eb.ref('m.started_at')).as('age_seconds'),
    ]);

const hopsQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenant_move_hops as h')
    .select(['h.move_id', 'h.hop_index', 'h.attempt_id', 'h.tenant_id', 'h.kind', 'h.suffix', 'h.source'])
    .select(['h.target', 'h.state', 'h.result', 'h.cleanup_execution_arn']);

type MovesQuery = ReturnType<typeof movesQuery>;
type HopsQuery = ReturnType<typeof hopsQuery>;
type MoveRow = InferResult<MovesQuery>[number];
type HopRow = InferResult<HopsQuery>[number];

/** Moves, `m`, that satisfy a condition, oldest first. With `lock` they are locked until the transaction ends. */
export async function selectMoves(
  registry: RegistryExecutor,
  where: (moves: MovesQuery) => MovesQuery,
  { lock = false }: { lock?: boolean } = {},
): Promise<MoveRecord[]> {
  const moves = where(movesQuery(registry)).orderBy('m.started_at').orderBy('m.move_id');
  const rows = await (lock ? moves.forUpdate() : moves).execute();
  return rows.map(toMove);
}

export async function findMove(
  registry: RegistryExecutor,
  moveId: string,
  options?: { lock?: boolean },
): Promise<MoveRecord | undefined> {
  const [move] = await selectMoves(registry, (moves) => moves.where('m.move_id', '=', moveId), options);
  return move;
}

/** Hops, `h`, that satisfy a condition, in the order of their moves' hops. */
export async function selectHops(
  registry: RegistryExecutor,
  where: (hops: HopsQuery) => HopsQuery,
): Promise<HopRecord[]> {
  const rows = await where(hopsQuery(registry)).orderBy('h.created_at').orderBy('h.hop_index').execute();
  return rows.map(toHop);
}

export function hopsOf(registry: RegistryExecutor, moveId: string): Promise<HopRecord[]> {
  return selectHops(registry, (hops) => hops.where('h.move_id', '=', moveId));
}

/** The hop that is being worked on: the registry keeps it to one per tenant. */
export function isOpen({ state }: Pick<HopRecord, 'state'>): boolean {
  return state === 'working' || state === 'committed' || state === 'rolling-back';
}

export function isSettled({ state }: Pick<HopRecord, 'state'>): boolean {
  return state === 'settled' || state === 'cleaned';
}

/** Sets the state of a hop that is in one of the states `from`. @returns whether it was. */
export async function setHopState(
  registry: RegistryExecutor,
  { moveId, index }: Pick<Hop, 'moveId' | 'index'>,
  from: readonly HopState[],
  to: HopState,
): Promise<boolean> {
  const rows = await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ state: to, updated_at: now })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .where('state', 'in', from)
    .returning('move_id')
    .execute();
  return rows.length > 0;
}

/** Where a place is, in words that any operator may read. */
export function describePlace({
  isolationModel,
  cellId,
  region,
}: Pick<Place, 'isolationModel' | 'cellId' | 'region'>) {
  if (isolationModel === 'dedicated') return `a dedicated database in ${region}`;
  return `${isolationModel === 'shared' ? 'the shared tables' : 'a schema'} of cell ${cellId}`;
}

function toMove(row: MoveRow): MoveRecord {
  return {
    moveId: row.move_id,
    tenantId: row.tenant_id,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    input: { ...parseJson(row.input) },
    plan: parseJson(row.plan) as readonly PlannedHop[],
    phases: parseJson(row.phases) as unknown as readonly PhaseRecord[],
    abortRequested: row.abort_requested,
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    ageSeconds: row.age_seconds,
  };
}

function toHop(row: HopRow): HopRecord {
  const source = parseJson(row.source) as Place;
  return {
    moveId: row.move_id,
    index: row.hop_index,
    kind: row.kind,
    attempt: { tenantId: row.tenant_id, epoch: source.epoch, attemptId: row.attempt_id },
    suffix: row.suffix,
    source,
    target: parseJson(row.target) as Place,
    state: row.state,
    result: parseJson(row.result),
    cleanUpExecutionArn: row.cleanup_execution_arn,
  };
}
