import { sqlStateOf } from '../../functions/database/session/sql-state.ts';
import type { Hop, HopContext, PhaseOutcome } from '../../functions/moves/hop.ts';
import { catchUpRelocate } from '../../functions/moves/relocate/catch-up-relocate.ts';
import { compareRelocate } from '../../functions/moves/relocate/compare-relocate.ts';
import { copyRelocate } from '../../functions/moves/relocate/copy-relocate.ts';
import { cutOverRelocate } from '../../functions/moves/relocate/cut-over-relocate.ts';
import { indexRelocate } from '../../functions/moves/relocate/index-relocate.ts';
import { prepareRelocate } from '../../functions/moves/relocate/prepare-relocate.ts';
import { stepContext } from './relocation-world.ts';

export type RelocateStep = (context: HopContext, cursor?: unknown) => Promise<PhaseOutcome>;

/** The phases of a hop that relocates, in their order. */
export const relocateSteps = {
  prepare: prepareRelocate,
  copy: copyRelocate,
  index: indexRelocate,
  'catch-up': catchUpRelocate,
  'cut-over': cutOverRelocate,
  compare: compareRelocate,
} as const satisfies Record<string, RelocateStep>;

export type PhaseName = keyof typeof relocateSteps;

/** What the workflow tries again: of ours, and of PostgreSQL's (autovacuum may have met a new table). */
const TRANSIENT = new Set(['CutOverPostponed', 'WritersBusy', 'MoverBusy', 'TenantUnreachable']);
const TRY_AGAIN = new Set(['40P01', '40001', '55P03']);

/** Calls a step until it is done, as the workflow does. */
export async function untilDone(
  phase: PhaseName,
  hop: Hop,
  kept: Record<string, unknown>,
  seconds?: number,
): Promise<void> {
  const step: RelocateStep = relocateSteps[phase];
  let outcome: PhaseOutcome = { done: false };
  for (let tries = 0; !outcome.done; tries++) {
    try {
      outcome = await step(stepContext(hop, kept, seconds), outcome.cursor);
    } catch (error) {
      const transient = TRANSIENT.has((error as Error).name) || TRY_AGAIN.has(sqlStateOf(error) ?? '');
      if (tries > 60 || !transient) throw error;
    }
  }
}

/** All phases up to the comparison, or those from one to another. @returns what was kept with the hop. */
export async function runRelocation(
  hop: Hop,
  {
    from = 'prepare',
    to = 'compare',
    kept = {},
  }: { from?: PhaseName; to?: PhaseName; kept?: Record<string, unknown> } = {},
): Promise<Record<string, unknown>> {
  const phases = Object.keys(relocateSteps) as PhaseName[];
  for (const phase of phases.slice(phases.indexOf(from), phases.indexOf(to) + 1)) {
    const start = performance.now();
    await untilDone(phase, hop, kept);
    if (process.env.SHOW_PHASES) console.log(phase, Math.round(performance.now() - start), 'ms');
  }
  return kept;
}
