import { type InferResult, sql } from 'kysely';
import { DEFAULT_DATABASE_SIZE } from '../contracts/database-size.ts';
import type { Location, Place } from '../places/place.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { type JsonText, parseJson, type TimeWithoutZone } from '../registry/registry-column.ts';
import { now, rfc3339, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import {
  referenceColumn,
  selectTenants,
  type TenantRecord,
  toTenantRecord,
} from '../registry/tenant-record.ts';
import type { Filling, Hop } from './hop.ts';
import type { PlannedHop } from './plan.ts';

export type MoveStatus = 'running' | 'succeeded' | 'failed' | 'aborted';

/**
 * States of a hop:
 *   working ──commit──▶ committed ──registry follows, claim released──▶ settled ──source dropped──▶ cleaned
 *   working ──▶ rolling-back ──▶ rolled-back          working or committed ──source and target differ──▶ mismatch
 * `committed` is advisory: the source's database is authoritative (`readCommit` in hop.ts).
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
  /** What is restored and how; null for a move. */
  readonly restore: Readonly<Record<string, unknown>> | null;
  /** Since it was asked for. */
  readonly ageSeconds: number;
}

/** Whether the row is a move or a restore, as the audit log names it. */
export const kindOf = ({ restore }: { readonly restore: unknown }): 'move' | 'restore' =>
  restore === null ? 'move' : 'restore';

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
    .select(['m.phases', 'm.execution_arn', 'm.started_by', 'm.restore'])
    .select((eb) => [
      eb('m.abort_requested_at', 'is not', null).$castTo<boolean>().as('abort_requested'),
      secondsSince(eb.ref('m.started_at')).as('age_seconds'),
    ]);

const hopsQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenant_move_hops as h')
    .select(['h.move_id', 'h.hop_index', 'h.attempt_id', 'h.tenant_id', 'h.kind', 'h.suffix', 'h.source'])
    .select(['h.target', 'h.state', 'h.result', 'h.cleanup_execution_arn', 'h.filling']);

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

/** A hop with what its phases need of its move. */
export interface HopOfMove extends HopRecord {
  readonly moveStatus: MoveStatus;
  readonly abortRequested: boolean;
}

export async function findHop(
  registry: RegistryExecutor,
  moveId: string,
  hopIndex: number,
): Promise<HopOfMove | undefined> {
  const row = await hopsQuery(registry)
    .innerJoin('tenant_moves as m', 'm.move_id', 'h.move_id')
    .select('m.status as move_status')
    .select((eb) => eb('m.abort_requested_at', 'is not', null).$castTo<boolean>().as('abort_requested'))
    .where('h.move_id', '=', moveId)
    .where('h.hop_index', '=', hopIndex)
    .executeTakeFirst();
  return row && { ...toHop(row), moveStatus: row.move_status, abortRequested: row.abort_requested };
}

/** Whether a move or restore of the tenant is running, and whether an earlier one has left differences. */
export async function otherMovesOf(registry: RegistryExecutor, tenantId: string) {
  return registrySql(registry)
    .selectNoFrom((eb) => [
      eb
        .exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .where('m.tenant_id', '=', tenantId)
            .where('m.status', '=', 'running'),
        )
        .as('moving'),
      eb
        .exists(
          eb
            .selectFrom('tenant_move_hops as h')
            .select('h.move_id')
            .where('h.tenant_id', '=', tenantId)
            .where('h.state', '=', 'mismatch'),
        )
        .as('differs'),
    ])
    .executeTakeFirstOrThrow();
}

/** The open hop: the registry allows one per tenant. */
export function isOpen({ state }: Pick<HopRecord, 'state'>): boolean {
  return state === 'working' || state === 'committed' || state === 'rolling-back';
}

export function isSettled({ state }: Pick<HopRecord, 'state'>): boolean {
  return state === 'settled' || state === 'cleaned';
}

/** Sets the state of a hop that is in one of the states `from`. @returns true when it was. */
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
    restore: row.restore === null ? null : parseJson(row.restore),
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
    ...(row.filling === null ? {} : { filling: parseJson(row.filling) as unknown as Filling }),
    state: row.state,
    result: parseJson(row.result),
    cleanUpExecutionArn: row.cleanup_execution_arn,
  };
}

/** The fields of a tenant that moves need. */
export interface MovingTenant extends TenantRecord {
  /** The place in its routing row; null while it has none. */
  readonly location: Location | null;
}

/** The tenant of an id or a slug; `lock` serializes its moves until the transaction ends. */
export async function findMovingTenant(
  registry: RegistryExecutor,
  reference: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<MovingTenant | undefined> {
  const row = await selectTenants(registrySql(registry))
    .select('r.isolation_model as placed_as')
    .where(`t.${referenceColumn(reference)}`, '=', reference)
    .$if(lock, (tenant) => tenant.forUpdate('t'))
    .executeTakeFirst();
  if (!row) return undefined;
  const { cell_id: cellId, region, placed_as: isolationModel } = row;
  const size =
    isolationModel === 'dedicated' ? { databaseSize: row.database_size ?? DEFAULT_DATABASE_SIZE } : {};
  return { ...toTenantRecord(row), location: isolationModel && { isolationModel, cellId, region, ...size } };
}

/** The time of the statement, as the API shows it. */
export const clock = rfc3339(sql<TimeWithoutZone>`clock_timestamp()`, 'MS');

type Phases = JsonText<readonly Readonly<Record<string, unknown>>[]>;

/**
 * `tenant_moves.phases` with the running ones marked as done: no phase outlives its move or the beginning of the next
 * phase.
 */
export const finishedPhases = sql<Phases>`(
  select coalesce(jsonb_agg(case when p ->> 'status' = 'running'
           then p || jsonb_build_object('status', 'done', 'finishedAt', ${clock}) else p end order by n),
         jsonb_build_array())
  from jsonb_array_elements(phases) with ordinality as each (p, n))`;
