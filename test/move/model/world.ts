import type { Step } from './checker.ts';
import type { Guards, SecondLines } from './guards.ts';
import { type Attempt, copyOf, forgetMarkers, type State } from './state.ts';

/** Who takes part. */
export interface Scenario {
  readonly name: string;
  readonly initial: State;
  readonly attempts: readonly Attempt[];
  /** Number of the attempt (from 1) that each mover works at. Two movers of one attempt are a task that runs twice. */
  readonly movers: readonly number[];
  /** What the first attempt has left behind is cleaned up. */
  readonly cleansUp?: boolean;
  /** COMMITs may stay without an answer. */
  readonly losesAnswers?: boolean;
}

/** Collects what may happen next in one state. */
export class Moment {
  readonly steps: Step<State>[] = [];
  readonly state: State;
  readonly scenario: Scenario;
  readonly guards: Guards & SecondLines;

  constructor(state: State, scenario: Scenario, guards: Guards & SecondLines) {
    this.state = state;
    this.scenario = scenario;
    this.guards = guards;
  }

  /** `change` works on a copy of the state. */
  may(by: string, does: string, change: (next: State) => void): void {
    const to = copyOf(this.state);
    change(to);
    // Markers of one and the same token cannot be told apart, which is what a fresh one is for.
    if (this.guards.freshToken) forgetMarkers(to);
    this.steps.push({ by, does, to });
  }
}
