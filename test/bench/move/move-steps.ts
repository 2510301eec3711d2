import { setTimeout as delay } from 'node:timers/promises';
import type { Hop, HopContext, PhaseOutcome, PhaseWork } from '../../../functions/moves/hop.ts';
import * as steps from '../../../functions/moves/hop-phases.ts';

/** One phase of one move. Times are of `performance.now()`. */
export interface Phase {
  readonly name: string;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface MoveRun {
  readonly phases: readonly Phase[];
  /** The longest pause of writes of any try, in milliseconds. */
  readonly pauseMs: number;
  readonly pauses: readonly number[];
  readonly copiedRows: number;
}

const phases: readonly (readonly [string, PhaseWork])[] = [
  ['prepare', steps.prepare],
  ['copy', steps.copy],
  ['index', steps.index],
  ['catch-up', steps.catchUp],
  ['cut-over', steps.cutOver],
  ['compare', steps.compare],
];

/** As long as a task function may work before it is called again. */
const STEP_MS = 600_000;
/** The workflow tries these again, after so many milliseconds. */
const TRIED_AGAIN: Readonly<Record<string, number>> = {
  CutOverPostponed: 10_000,
  WritersBusy: 3_000,
  AttemptBusy: 3_000,
  TenantUnreachable: 3_000,
};
const MOST_TRIES = 30;

/** The phases of a hop as the workflow runs them, each as a task function does; what they keep, they keep in memory. */
export async function runMove(hop: Hop): Promise<MoveRun> {
  const kept: Record<string, unknown> = {};
  const done: Phase[] = [];
  for (const [name, step] of phases) {
    const startedAt = performance.now();
    await untilDone(step, hop, kept);
    done.push({ name, startedAt, endedAt: performance.now() });
  }
  const pauses = kept.pauses as readonly number[];
  return { phases: done, pauses, pauseMs: Math.max(...pauses), copiedRows: Number(kept.copiedRows) };
}

async function untilDone(step: PhaseWork, hop: Hop, kept: Record<string, unknown>): Promise<void> {
  let outcome: PhaseOutcome = { done: false };
  for (let tries = 1; !outcome.done; tries++) {
    try {
      outcome = await step(contextOf(hop, kept), outcome.cursor);
    } catch (error) {
      const interval = TRIED_AGAIN[(error as Error).name];
      if (interval === undefined || tries === MOST_TRIES) throw error;
      await delay(interval);
    }
  }
}

function contextOf(hop: Hop, kept: Record<string, unknown>): HopContext {
  return {
    hop,
    kept,
    deadline: performance.now() + STEP_MS,
    progress: async () => {},
    keep: async (facts) => void Object.assign(kept, facts),
    amendTarget: async (found) => void Object.assign(hop.target, found),
  };
}

/** From one phase's beginning to another's end, in milliseconds. */
export function spanOf({ phases }: Pick<MoveRun, 'phases'>, from: string, to: string): number {
  return phaseOf(phases, to).endedAt - phaseOf(phases, from).startedAt;
}

export function phaseOf(phases: readonly Phase[], name: string): Phase {
  const found = phases.find((phase) => phase.name === name);
  if (!found) throw new TypeError(`there is no phase ${name}`);
  return found;
}

/** For the progress of a run, as `prepare 0.3 copy 20.1 …` in seconds. */
export const describePhases = (phases: readonly Phase[]) =>
  phases
    .map(({ name, startedAt, endedAt }) => `${name} ${((endedAt - startedAt) / 1_000).toFixed(1)}`)
    .join(', ');
