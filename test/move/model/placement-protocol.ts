/**
 * The placement protocol as an executable model: everything that can happen in a small world, in every order.
 *
 * What it keeps. Each transaction and each wait for a lock of the code is a step of its own: a write takes the key,
 * reads the placement, commits; a mover takes a key and then works, or takes a snapshot and then commits. Movers are
 * frozen, killed and run again between any two steps, run twice at once, and are rolled back while they live. Fences run
 * out at any time; replication carries over one change at a time, whenever it likes; COMMITs stay without an answer;
 * clients come with places of any age. Copies and replicated rows replace what was there, so stale ones destroy.
 *
 * What it leaves out. A tenant's data is one row: foreign keys, indexes, chunks and the comparing of both sides are for
 * tests on PostgreSQL. So are roles (each belongs to one epoch), the order in which waiting locks are granted (the
 * model grants them in any), durations (whatever is limited by time may end at any time, or be put off for ever), and
 * the registry's own transactions. Nobody's session ends halfway through a single transaction's COMMIT.
 *
 * Two questions are about what can still happen, not about a state: from every state the tenant becomes writable, and
 * all clients are answered, though no mover ever does another step; and from every state a mover, or a recovery, can
 * bring the tenant to where nothing of a move is left and a new one may begin.
 */
import { type Exploration, explore } from './checker.ts';
import { cleanUpSteps } from './clean-up.ts';
import { fenceSteps, readerSteps, writerSteps } from './clients.ts';
import { everyGuard, everySecondLine, type Guards, type SecondLines } from './guards.ts';
import { isAnswered, isSettled, isWritable, violationOf } from './invariants.ts';
import { moverSteps } from './mover.ts';
import { replicationSteps } from './mover-relocate.ts';
import { recoverySteps } from './recovery.ts';
import type { State } from './state.ts';
import { keyOf } from './state-key.ts';
import { Moment, type Scenario } from './world.ts';

export interface Verdict {
  readonly exploration: Exploration<State>;
  /** What is wrong, and the shortest way there; undefined when nothing is. */
  readonly violation: string | undefined;
  readonly trace: readonly string[];
}

/** Explores everything that can happen in the scenario. */
export function check(scenario: Scenario, broken: Partial<Guards & SecondLines> = {}): Verdict {
  const guards = { ...everyGuard, ...everySecondLine, ...broken };
  const exploration = explore<State>({
    initial: scenario.initial,
    steps: (state) => {
      const moment = new Moment(state, scenario, guards);
      writerSteps(moment);
      readerSteps(moment);
      fenceSteps(moment);
      moverSteps(moment);
      recoverySteps(moment);
      replicationSteps(moment);
      cleanUpSteps(moment);
      return moment.steps;
    },
    key: keyOf,
    violation: (state) => violationOf(state, guards),
  });
  if (exploration.counterExample) return { exploration, ...exploration.counterExample };
  const paused = exploration.stranded((state) => isWritable(state, guards), isNoMover);
  if (paused)
    return { exploration, violation: 'the tenant stays paused unless a mover does something', trace: paused };
  const unanswered = exploration.stranded(isAnswered, isNoMover);
  if (unanswered)
    return {
      exploration,
      violation: 'a client finds the tenant only once a mover does something',
      trace: unanswered,
    };
  const stuck = exploration.stranded(isSettled, () => true);
  if (stuck)
    return {
      exploration,
      violation: 'what a move has left is there for ever, and no other can begin',
      trace: stuck,
    };
  return { exploration, violation: undefined, trace: [] };
}

function isNoMover(by: string): boolean {
  return !/^(mover|recovery|clean-up)/.test(by);
}
