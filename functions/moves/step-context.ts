import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { type JsonText, parseJson } from '../registry/registry-column.ts';
import { columnValue, jsonValue, now } from '../registry/registry-expressions.ts';
import { compilingOnly, registrySql } from '../registry/registry-sql.ts';
import { clock, finishedPhases } from './end-move.ts';
import { MoveAborted, MoveOvertaken } from './errors.ts';
import type { Hop, PhaseProgress, Place, StepContext } from './hop.ts';
import { findMove, type HopRecord, hopsOf } from './move-records.ts';

/** Which step of which hop. */
export interface StepReference {
  readonly moveId: string;
  readonly hopIndex: number;
  readonly phase: string;
  readonly cursor?: unknown;
}

/** These come after the commit point: what was asked too late does not stop them. */
const AFTER_COMMIT: readonly string[] = ['compare', 'settle'];
/** Progress that comes faster is kept for the next time: each report is a call of the registry. */
const REPORT_EVERY_MS = 200;

/**
 * Begins, or goes on with, a phase of a hop. The phase appears in the move's list when it is opened for the first time,
 * which ends the one before; a run that comes again, be it late or twice at once, changes nothing of that.
 * @throws {MoveOvertaken} the move has ended, or the hop is past such a phase.
 * @throws {MoveAborted} before the commit point, where somebody asked to stop.
 */
export async function openStep(
  registry: RegistryExecutor,
  { moveId, hopIndex, phase }: StepReference,
  deadline: number,
): Promise<StepContext> {
  const move = await findMove(registry, moveId);
  const hop = (await hopsOf(registry, moveId)).find(({ index }) => index === hopIndex);
  if (move?.status !== 'running' || !hop) throw new MoveOvertaken();
  // A settle that was cut off, or ran twice, finds the hop settled.
  const workable = ['working', 'committed', ...(phase === 'settle' ? ['settled'] : [])];
  if (!workable.includes(hop.state)) throw new MoveOvertaken();
  const context = new RegistryStepContext(registry, hop, phase, deadline);
  if (move.abortRequested && !context.committed) throw new MoveAborted();
  await beginPhase(registry, hop, phase);
  return context;
}

class RegistryStepContext implements StepContext {
  readonly deadline: number;
  readonly #registry: RegistryExecutor;
  readonly #phase: string;
  #hop: HopRecord;
  #kept: Readonly<Record<string, unknown>>;
  #unreported: PhaseProgress = {};
  #reportedAt = Number.NEGATIVE_INFINITY;
  #previous: Promise<unknown> = Promise.resolve();

  constructor(registry: RegistryExecutor, hop: HopRecord, phase: string, deadline: number) {
    this.#registry = registry;
    this.#hop = hop;
    this.#kept = hop.result;
    this.#phase = phase;
    this.deadline = deadline;
  }

  get hop(): Hop {
    return this.#hop;
  }

  get kept(): Readonly<Record<string, unknown>> {
    return this.#kept;
  }

  /** As far as this step knows: the database may be further. */
  get committed(): boolean {
    return (
      this.#hop.state !== 'working' ||
      this.#kept.committedAt !== undefined ||
      AFTER_COMMIT.includes(this.#phase)
    );
  }

  progress(update: PhaseProgress): Promise<void> {
    return this.#inTurn(() => this.#progress(update));
  }

  keep(facts: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#inTurn(() => this.#keep(facts));
  }

  amendTarget(found: Partial<Place>): Promise<void> {
    return this.#inTurn(() => this.#amendTarget(found));
  }

  /** A step may tell its progress beside its work; what it told first must not be written last. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#previous.then(work);
    this.#previous = turn.catch(() => {});
    return turn;
  }

  async #progress(update: PhaseProgress): Promise<void> {
    this.#unreported = { ...this.#unreported, ...update };
    const at = performance.now();
    const due = at - this.#reportedAt >= REPORT_EVERY_MS || isFinal(update);
    const rows = due ? await this.#report(this.#unreported) : await this.#look();
    if (due) {
      this.#reportedAt = at;
      this.#unreported = {};
    }
    const [row] = rows;
    if (!row) throw new MoveOvertaken();
    if (row.abort_requested && !this.committed) throw new MoveAborted();
  }

  async #keep(facts: Readonly<Record<string, unknown>>): Promise<void> {
    const { committedAt } = facts;
    // Whatever tells a time: a step that has committed must not fail at telling so.
    const at =
      committedAt === undefined ? null : new Date(committedAt as string | number | Date).toISOString();
    const row = await this.#hopIn('working', 'committed', 'settled')
      .set((eb) => ({
        ...{ result: sql<HopResult>`result || ${jsonValue(facts)}`, updated_at: now },
        ...(at === null
          ? {}
          : {
              state: eb
                .case()
                .when('state', '=', 'working')
                .then(sql.lit('committed' as const))
                .else(eb.ref('state'))
                .end(),
              committed_at: eb.fn.coalesce(
                'committed_at',
                columnValue('tenant_move_hops.committed_at', at).$notNull(),
              ),
            }),
      }))
      .returning('result')
      .executeTakeFirst();
    if (!row) throw new MoveOvertaken();
    this.#kept = parseJson(row.result);
  }

  async #amendTarget(found: Partial<Place>): Promise<void> {
    const row = await this.#hopIn('working')
      .set({ target: sql`target || ${jsonValue(found)}`, updated_at: now })
      .returning('target')
      .executeTakeFirst();
    if (!row) throw new MoveOvertaken();
    this.#hop = { ...this.#hop, target: parseJson(row.target) as Place };
  }

  /** Only into a phase that is still running: a late run must not rewrite what the next one has found done. */
  #report(update: PhaseProgress): Promise<AbortRow[]> {
    const phases = sql<Phases>`(
      select coalesce(jsonb_agg(case when p ->> 'hop' = ${String(this.#hop.index)} and p ->> 'name' = ${this.#phase}
               and p ->> 'status' = 'running' then p || ${jsonValue(update)} else p end order by n),
             jsonb_build_array())
      from jsonb_array_elements(phases) with ordinality as each (p, n))`;
    return registrySql(this.#registry)
      .updateTable('tenant_moves')
      .set({
        ...{ phases, updated_at: now },
        ...(update.pauseMs === undefined ? {} : { current_pause_ms: update.pauseMs }),
      })
      .where('tenant_moves.move_id', '=', this.#hop.moveId)
      .where('tenant_moves.status', '=', 'running')
      .where((eb) => eb.exists(this.#workedOn()))
      .returning(abortRequested)
      .execute();
  }

  #look(): Promise<AbortRow[]> {
    return registrySql(this.#registry)
      .selectFrom('tenant_moves')
      .select(abortRequested)
      .where('tenant_moves.move_id', '=', this.#hop.moveId)
      .where('tenant_moves.status', '=', 'running')
      .where((eb) => eb.exists(this.#workedOn()))
      .execute();
  }

  #workedOn() {
    return compilingOnly
      .selectFrom('tenant_move_hops as h')
      .select('h.move_id')
      .where('h.move_id', '=', this.#hop.moveId)
      .where('h.hop_index', '=', this.#hop.index)
      .where('h.state', 'in', ['working', 'committed', 'settled']);
  }

  #hopIn(...states: HopRecord['state'][]) {
    return registrySql(this.#registry)
      .updateTable('tenant_move_hops')
      .where('move_id', '=', this.#hop.moveId)
      .where('hop_index', '=', this.#hop.index)
      .where('state', 'in', states);
  }
}

interface AbortRow {
  readonly abort_requested: boolean;
}

const abortRequested = sql<boolean>`abort_requested_at is not null`.as('abort_requested');

type Phases = JsonText<readonly Readonly<Record<string, unknown>>[]>;
type HopResult = JsonText<Readonly<Record<string, unknown>>>;

/** What should be seen though the next report may never come: the end of the phase, and a pause. */
function isFinal({ rowsDone, rowsTotal, pauseMs }: PhaseProgress): boolean {
  return pauseMs !== undefined || (rowsDone !== undefined && rowsDone === rowsTotal);
}

/** One statement, which PostgreSQL evaluates anew if another run has been faster: a phase is listed once. */
async function beginPhase(registry: RegistryExecutor, { moveId, index }: Hop, phase: string): Promise<void> {
  const entry = { hop: index, name: phase, status: 'running', finishedAt: null };
  await registrySql(registry)
    .updateTable('tenant_moves')
    .set({
      ...{ phase, current_pause_ms: null, updated_at: now },
      phases: sql`${finishedPhases} || jsonb_build_array(
        ${jsonValue(entry)} || jsonb_build_object('startedAt', ${clock}))`,
    })
    .where('move_id', '=', moveId)
    .where('status', '=', 'running')
    .where(
      sql<boolean>`not exists (select from jsonb_array_elements(phases) as each (p)
        where p ->> 'hop' = ${String(index)} and p ->> 'name' = ${phase})`,
    )
    .execute();
}
