/**
 * A small explicit-state checker: visits every state that any interleaving of steps can reach, breadth first, so the
 * first violation that it meets has a shortest trace. Then it asks which states can still reach a goal.
 */

/** One thing that may happen next. */
export interface Step<State> {
  /** Who does it, such as `writer 1`. */
  readonly by: string;
  readonly does: string;
  readonly to: State;
}

export interface Model<State> {
  readonly initial: State;
  /** Everything that may happen in the state. A state without steps is an end. */
  readonly steps: (state: State) => readonly Step<State>[];
  /** Equal for two states exactly if nothing tells them apart. */
  readonly key: (state: State) => string;
  /** Says what is wrong with the state, if anything. */
  readonly violation: (state: State) => string | undefined;
}

/** A violation, and how it comes about: one line a step, the shortest way. */
export interface CounterExample {
  readonly violation: string;
  readonly trace: readonly string[];
}

/** The graph of reachable states, by number in the order of their discovery; 0 is the initial one. */
export interface Exploration<State> {
  readonly states: readonly State[];
  readonly edges: number;
  /** What happened at least once, as `by does`. */
  readonly happened: ReadonlySet<string>;
  readonly counterExample: CounterExample | undefined;
  /**
   * A state from which no state of the goal can be reached by steps of those whom `mayAct` lets; undefined if there
   * is none. Only of an exploration without a counter-example, which is complete.
   */
  readonly stranded: (
    goal: (state: State) => boolean,
    mayAct: (by: string) => boolean,
  ) => readonly string[] | undefined;
}

/** @throws {RangeError} when there are more states than `atMost`: the model is too large, or has no end. */
export function explore<State>(model: Model<State>, atMost = 2_000_000): Exploration<State> {
  const states: State[] = [model.initial];
  const numbers = new Map([[model.key(model.initial), 0]]);
  const parents = [-1];
  const arrivals = [''];
  // Edges as three columns: an object each would take most of the memory.
  const from: number[] = [];
  const to: number[] = [];
  const labels: string[] = [];
  const happened = new Set<string>();

  const traceTo = (end: number): string[] => {
    const trace: string[] = [];
    for (let at = end; at > 0; at = parents[at] as number) trace.unshift(arrivals[at] as string);
    return trace;
  };
  const finish = (counterExample?: CounterExample): Exploration<State> => ({
    states,
    edges: from.length,
    happened,
    counterExample,
    stranded: (goal, mayAct) => {
      const end = firstStranded(states.map(goal), from, to, (edge) =>
        mayAct(actorOf(labels[edge] as string)),
      );
      return end === undefined ? undefined : traceTo(end);
    },
  });

  const wrong = model.violation(model.initial);
  if (wrong !== undefined) return finish({ violation: wrong, trace: [] });
  for (let at = 0; at < states.length; at++) {
    for (const step of model.steps(states[at] as State)) {
      const label = `${step.by}: ${step.does}`;
      happened.add(label);
      const key = model.key(step.to);
      let next = numbers.get(key);
      if (next === undefined) {
        next = states.length;
        if (next >= atMost) throw new RangeError(`more than ${atMost} states`);
        numbers.set(key, next);
        states.push(step.to);
        parents.push(at);
        arrivals.push(label);
        const violation = model.violation(step.to);
        if (violation !== undefined) return finish({ violation, trace: traceTo(next) });
      }
      if (next === at) continue;
      from.push(at);
      to.push(next);
      labels.push(label);
    }
  }
  return finish();
}

function actorOf(label: string): string {
  return label.slice(0, label.indexOf(':'));
}

/** Walks the allowed edges backwards from the goal; the first state (nearest to the initial one) not met is stranded. */
function firstStranded(
  goal: readonly boolean[],
  from: readonly number[],
  to: readonly number[],
  allowed: (edge: number) => boolean,
): number | undefined {
  // The edges into a state, as a linked list in two columns.
  const newest = new Int32Array(goal.length).fill(-1);
  const older = new Int32Array(from.length).fill(-1);
  for (let edge = 0; edge < from.length; edge++) {
    if (!allowed(edge)) continue;
    older[edge] = newest[to[edge] as number] as number;
    newest[to[edge] as number] = edge;
  }
  const met = Uint8Array.from(goal, Number);
  const open = goal.flatMap((is, state) => (is ? [state] : []));
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (let edge = newest[state] as number; edge >= 0; edge = older[edge] as number) {
      const origin = from[edge] as number;
      if (met[origin]) continue;
      met[origin] = 1;
      open.push(origin);
    }
  }
  const end = met.indexOf(0);
  return end < 0 ? undefined : end;
}
