import type { RegistryExecutor } from '../registry/data-api.ts';
import type { Hop, HopKind, Place } from './hop.ts';
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

interface MoveRow {
  readonly move_id: string;
  readonly tenant_id: string;
  readonly status: MoveStatus;
  readonly phase: string;
  readonly reason: string | null;
  readonly input: string;
  readonly plan: string;
  readonly phases: string;
  readonly abort_requested: boolean;
  readonly execution_arn: string | null;
  readonly started_by: string;
  readonly age_seconds: number;
}

interface HopRow {
  readonly move_id: string;
  readonly hop_index: number;
  readonly attempt_id: string;
  readonly tenant_id: string;
  readonly kind: HopKind;
  readonly suffix: string;
  readonly source: string;
  readonly target: string;
  readonly state: HopState;
  readonly result: string;
  readonly cleanup_execution_arn: string | null;
}

const MOVE_COLUMNS = `m.move_id::text AS move_id, m.tenant_id::text AS tenant_id, m.status, m.phase, m.reason,
  m.input::text AS input, m.plan::text AS plan, m.phases::text AS phases,
  m.abort_requested_at IS NOT NULL AS abort_requested, m.execution_arn, m.started_by,
  EXTRACT(epoch FROM now() - m.started_at)::float8 AS age_seconds`;

const HOP_COLUMNS = `h.move_id::text AS move_id, h.hop_index, h.attempt_id::text AS attempt_id,
  h.tenant_id::text AS tenant_id, h.kind, h.suffix, h.source::text AS source, h.target::text AS target, h.state,
  h.result::text AS result, h.cleanup_execution_arn`;

/** Moves that satisfy a condition on `m`, oldest first. With `lock` they are locked until the transaction ends. */
export async function selectMoves(
  registry: RegistryExecutor,
  where: string,
  parameters: Record<string, string>,
  { lock = false }: { lock?: boolean } = {},
): Promise<MoveRecord[]> {
  const rows = await registry.query<MoveRow>(
    `SELECT ${MOVE_COLUMNS} FROM tenant_moves m WHERE ${where} ORDER BY m.started_at, m.move_id
     ${lock ? 'FOR UPDATE' : ''}`,
    parameters,
  );
  return rows.map(toMove);
}

export async function findMove(
  registry: RegistryExecutor,
  moveId: string,
  options?: { lock?: boolean },
): Promise<MoveRecord | undefined> {
  const [move] = await selectMoves(registry, 'm.move_id = :moveId::uuid', { moveId }, options);
  return move;
}

/** Hops that satisfy a condition on `h`, in the order of their moves' hops. */
export async function selectHops(
  registry: RegistryExecutor,
  where: string,
  parameters: Record<string, string>,
): Promise<HopRecord[]> {
  const rows = await registry.query<HopRow>(
    `SELECT ${HOP_COLUMNS} FROM tenant_move_hops h WHERE ${where} ORDER BY h.created_at, h.hop_index`,
    parameters,
  );
  return rows.map(toHop);
}

export function hopsOf(registry: RegistryExecutor, moveId: string): Promise<HopRecord[]> {
  return selectHops(registry, 'h.move_id = :moveId::uuid', { moveId });
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
  const rows = await registry.query(
    `UPDATE tenant_move_hops SET state = :to, updated_at = now()
     WHERE move_id = :moveId::uuid AND hop_index = :index::int AND state = ANY (string_to_array(:from, ','))
     RETURNING move_id`,
    { moveId, index, to, from: from.join(',') },
  );
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
    input: JSON.parse(row.input) as Record<string, unknown>,
    plan: JSON.parse(row.plan) as PlannedHop[],
    phases: JSON.parse(row.phases) as PhaseRecord[],
    abortRequested: row.abort_requested,
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    ageSeconds: row.age_seconds,
  };
}

function toHop(row: HopRow): HopRecord {
  const source = JSON.parse(row.source) as Place;
  return {
    moveId: row.move_id,
    index: row.hop_index,
    kind: row.kind,
    attempt: { tenantId: row.tenant_id, epoch: source.epoch, attemptId: row.attempt_id },
    suffix: row.suffix,
    source,
    target: JSON.parse(row.target) as Place,
    state: row.state,
    result: JSON.parse(row.result) as Record<string, unknown>,
    cleanUpExecutionArn: row.cleanup_execution_arn,
  };
}
