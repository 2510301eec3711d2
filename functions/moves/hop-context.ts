import { sql } from 'kysely';
import type { Place } from '../places/place.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { type JsonText, parseJson } from '../registry/registry-column.ts';
import { columnValue, jsonValue, now } from '../registry/registry-expressions.ts';
import { compilingOnly, registrySql } from '../registry/registry-sql.ts';
import { MoveAborted, MoveOvertaken } from './errors.ts';
import type { Hop, HopContext, PhaseProgress } from './hop.ts';
import { clock, findHop, finishedPhases, type HopRecord } from './move-records.ts';

/** A phase of one hop. */
export interface PhaseReference {
  readonly moveId: string;
  readonly hopIndex: number;
  readonly phase: string;
  readonly cursor?: unknown;
}

/** Phases after the commit point: a late request to abort does not stop them. */
const AFTER_COMMIT: readonly string[] = ['compare', 'settle'];
/** Progress that comes faster is merged into the next report, because each report is a call of the registry. */
const REPORT_EVERY_MS = 200;

/**
 * Begins or continues a phase of a hop: reads the hop once for the whole phase. The phase is added to the move's list
 * when it is opened for the first time, which ends the phase before; a late, repeated or concurrent run changes nothing
 * in the list.
 * @throws {MoveOvertaken} the move has ended, or the hop is past such a phase.
 * @throws {MoveAborted} before the commit point, when an abort was requested.
 */
export async function openPhase(
  registry: RegistryExecutor,
  { moveId, hopIndex, phase }: PhaseReference,
  deadline: number,
): Promise<HopContext> {
  const hop = await findHop(registry, moveId, hopIndex);
  if (hop?.moveStatus !== 'running') throw new MoveOvertaken();
  // A settle phase that was interrupted, or runs concurrently, finds the hop settled.
  const workable = hop.state === 'working' || hop.state === 'committed';
  if (!workable && !(phase === 'settle' && hop.state === 'settled')) throw new MoveOvertaken();
  const context = new RegistryHopContext(registry, hop, phase, deadline);
  if (hop.abortRequested && !context.isPastCommit) throw new MoveAborted();
  await beginPhase(registry, hop, phase);
  return context;
}

/** Opens a phase of a hop that the caller has read, whatever its state. */
export async function openPhaseOf(
  registry: RegistryExecutor,
  hop: HopRecord,
  phase: string,
  deadline: number,
): Promise<HopContext> {
  await beginPhase(registry, hop, phase);
  return new RegistryHopContext(registry, hop, phase, deadline);
}

class RegistryHopContext implements HopContext {
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

  get settled(): boolean {
    return this.#hop.state === 'settled';
  }

  /**
   * Advisory, to ignore later requests to abort. An abort that comes after the commit finds the commit in the database.
   */
  get isPastCommit(): boolean {
    return (
      this.#hop.state !== 'working' ||
      this.#kept.committedAt !== undefined ||
      AFTER_COMMIT.includes(this.#phase)
    );
  }

  progress(update: PhaseProgress): Promise<void> {
    return this.#serialized(() => this.#progress(update));
  }

  keep(facts: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#serialized(() => this.#keep(facts));
  }

  amendTarget(found: Partial<Place>): Promise<void> {
    return this.#serialized(() => this.#amendTarget(found));
  }

  /** A phase may report progress while it works: reports are written in the order of their calls. */
  #serialized(work: () => Promise<void>): Promise<void> {
    const next = this.#previous.then(work);
    this.#previous = next.catch(() => {});
    return next;
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
    if (row.abort_requested && !this.isPastCommit) throw new MoveAborted();
  }

  async #keep(facts: Readonly<Record<string, unknown>>): Promise<void> {
    const { committedAt } = facts;
    // Any form of a time is accepted: a committed phase must not fail because it records the time.
    const at =
      committedAt === undefined ? null : new Date(committedAt as string | number | Date).toISOString();
    const row = await this.#hopIn('working', 'committed', 'settled')
      .set((eb) => ({
        result: sql<HopResult>`result || ${jsonValue(facts)}`,
        updated_at: now,
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

  /** Only into a phase that is still running: a late run must not change a phase that is listed as done. */
  #report(update: PhaseProgress): Promise<AbortRow[]> {
    const phases = sql<Phases>`(
      select coalesce(jsonb_agg(case when p ->> 'hop' = ${String(this.#hop.index)} and p ->> 'name' = ${this.#phase}
               and p ->> 'status' = 'running' then p || ${jsonValue(update)} else p end order by n),
             jsonb_build_array())
      from jsonb_array_elements(phases) with ordinality as each (p, n))`;
    return registrySql(this.#registry)
      .updateTable('tenant_moves')
      .set({
        phases,
        updated_at: now,
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

/** Reported at once, because the phase may end before the next report: a phase's end, and a pause. */
function isFinal({ rowsDone, rowsTotal, pauseMs }: PhaseProgress): boolean {
  return pauseMs !== undefined || (rowsDone !== undefined && rowsDone === rowsTotal);
}

/** One statement, which PostgreSQL re-evaluates when a concurrent run was faster: a phase is listed once. */
async function beginPhase(registry: RegistryExecutor, { moveId, index }: Hop, phase: string): Promise<void> {
  const entry = { hop: index, name: phase, status: 'running', finishedAt: null };
  await registrySql(registry)
    .updateTable('tenant_moves')
    .set({
      phase,
      current_pause_ms: null,
      updated_at: now,
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
