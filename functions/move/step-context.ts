import type { RegistryExecutor } from '../registry/data-api.ts';
import { CLOCK, FINISHED_PHASES } from './end-move.ts';
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
    const now = performance.now();
    const due = now - this.#reportedAt >= REPORT_EVERY_MS || isFinal(update);
    const rows = due ? await this.#report(this.#unreported) : await this.#look();
    if (due) {
      this.#reportedAt = now;
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
    const [row] = await this.#registry.query<{ result: string }>(
      `UPDATE tenant_move_hops SET result = result || :facts::jsonb, updated_at = now(),
              state = CASE WHEN state = 'working' AND :at::timestamptz IS NOT NULL THEN 'committed' ELSE state END,
              committed_at = COALESCE(committed_at, :at::timestamptz)
       WHERE move_id = :moveId::uuid AND hop_index = :index::int AND state IN ('working', 'committed', 'settled')
       RETURNING result::text AS result`,
      { facts: JSON.stringify(facts), at, ...this.#key },
    );
    if (!row) throw new MoveOvertaken();
    this.#kept = JSON.parse(row.result) as Record<string, unknown>;
  }

  async #amendTarget(found: Partial<Place>): Promise<void> {
    const [row] = await this.#registry.query<{ target: string }>(
      `UPDATE tenant_move_hops SET target = target || :found::jsonb, updated_at = now()
       WHERE move_id = :moveId::uuid AND hop_index = :index::int AND state = 'working'
       RETURNING target::text AS target`,
      { found: JSON.stringify(found), ...this.#key },
    );
    if (!row) throw new MoveOvertaken();
    this.#hop = { ...this.#hop, target: JSON.parse(row.target) as Place };
  }

  /** Only into a phase that is still running: a late run must not rewrite what the next one has found done. */
  #report(update: PhaseProgress): Promise<AbortRow[]> {
    return this.#registry.query<AbortRow>(
      `UPDATE tenant_moves SET updated_at = now(),
              current_pause_ms = COALESCE(:pauseMs::float8, current_pause_ms),
              phases = (
                SELECT COALESCE(jsonb_agg(CASE WHEN p ->> 'hop' = :hop::text AND p ->> 'name' = :phase
                         AND p ->> 'status' = 'running' THEN p || :update::jsonb ELSE p END ORDER BY n), '[]'::jsonb)
                FROM jsonb_array_elements(phases) WITH ORDINALITY AS each (p, n))
       WHERE move_id = :moveId::uuid AND status = 'running'
         AND EXISTS (SELECT FROM tenant_move_hops h WHERE ${WORKED_ON})
       RETURNING abort_requested_at IS NOT NULL AS abort_requested`,
      {
        ...{ hop: String(this.#hop.index), phase: this.#phase, update: JSON.stringify(update) },
        ...{ pauseMs: update.pauseMs ?? null, ...this.#key },
      },
    );
  }

  #look(): Promise<AbortRow[]> {
    return this.#registry.query<AbortRow>(
      `SELECT abort_requested_at IS NOT NULL AS abort_requested FROM tenant_moves
       WHERE move_id = :moveId::uuid AND status = 'running'
         AND EXISTS (SELECT FROM tenant_move_hops h WHERE ${WORKED_ON})`,
      this.#key,
    );
  }

  get #key() {
    return { moveId: this.#hop.moveId, index: this.#hop.index };
  }
}

interface AbortRow {
  readonly abort_requested: boolean;
}

const WORKED_ON = `h.move_id = :moveId::uuid AND h.hop_index = :index::int
  AND h.state IN ('working', 'committed', 'settled')`;

/** What should be seen though the next report may never come: the end of the phase, and a pause. */
function isFinal({ rowsDone, rowsTotal, pauseMs }: PhaseProgress): boolean {
  return pauseMs !== undefined || (rowsDone !== undefined && rowsDone === rowsTotal);
}

/** One statement, which PostgreSQL evaluates anew if another run has been faster: a phase is listed once. */
async function beginPhase(registry: RegistryExecutor, { moveId, index }: Hop, phase: string): Promise<void> {
  const entry = { hop: index, name: phase, status: 'running', finishedAt: null };
  await registry.query(
    `UPDATE tenant_moves SET phase = :phase, current_pause_ms = NULL, updated_at = now(),
            phases = ${FINISHED_PHASES} || jsonb_build_array(:entry::jsonb || jsonb_build_object('startedAt', ${CLOCK}))
     WHERE move_id = :moveId::uuid AND status = 'running' AND NOT EXISTS (
       SELECT FROM jsonb_array_elements(phases) AS each (p)
       WHERE p ->> 'hop' = :hop::text AND p ->> 'name' = :phase)`,
    { moveId, phase, hop: String(index), entry: JSON.stringify(entry) },
  );
}
