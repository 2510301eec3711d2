import type { StateMachineDefinition } from 'aws-local-stepfunctions';

/** The parts of a state of the Amazon States Language that are rewritten here. */
export interface State {
  Type: string;
  Resource?: string;
  Seconds?: number;
  SecondsPath?: string;
  Timestamp?: string;
  TimestampPath?: string;
  TimeoutSeconds?: number;
  TimeoutSecondsPath?: string;
  Error?: string;
  ErrorPath?: string;
  Cause?: string;
  CausePath?: string;
  ResultPath?: string | null;
  OutputPath?: string | null;
  InputPath?: string | null;
  Retry?: Retrier[];
  Catch?: { ResultPath?: string | null }[];
  Branches?: Definition[];
  Parameters?: unknown;
  Iterator?: Definition;
  ItemProcessor?: Definition;
}

interface Retrier {
  IntervalSeconds?: number;
  MaxDelaySeconds?: number;
}

export interface Definition {
  StartAt: string;
  TimeoutSeconds?: number;
  States: Record<string, State>;
}

/** The original of a rewritten Task state. */
export type LocalTask = { kind: 'task'; resource: string } | { kind: 'wait'; state: State };

export interface LocalDefinition {
  definition: StateMachineDefinition;
  /** By state name, which is unique in a state machine. */
  tasks: Map<string, LocalTask>;
  /** The types the states had before. */
  types: Map<string, string>;
}

/** Timers hold at most 2^31 ms; that limits no task in AWS either. */
const LONGEST_TIMEOUT_SECONDS = 2_000_000;

/**
 * Rewrites a definition for the interpreter: shorter waits and retry intervals, no default task timeout of a minute, no
 * `$` paths that it treats as names, and tasks instead of waits with computed ends. `entered` is called with every
 * state before its fields are evaluated, which sets `$$.State`.
 * @param input of the execution. The interpreter cannot resolve `$` when the input is null, false, 0 or empty text; AWS
 * accepts these like any other input.
 */
export function localDefinition(
  source: Definition,
  waitScale: number,
  input: unknown,
  entered: (stateName: string) => void,
): LocalDefinition {
  const tasks: LocalDefinition['tasks'] = new Map();
  const types: LocalDefinition['types'] = new Map();

  function rewrite(definition: Definition): Definition {
    const states = Object.fromEntries(
      Object.entries(definition.States).map(([name, state]) => [name, rewriteState(name, state)]),
    );
    const { TimeoutSeconds, ...rest } = definition;
    return {
      ...rest,
      ...(TimeoutSeconds !== undefined && TimeoutSeconds < LONGEST_TIMEOUT_SECONDS ? { TimeoutSeconds } : {}),
      States: new Proxy(states, {
        get(target, name: string) {
          if (Object.hasOwn(target, name)) entered(name);
          return target[name];
        },
      }),
    };
  }

  function rewriteState(name: string, state: State): State {
    types.set(name, state.Type);
    const local: State = { ...state };
    if (local.ResultPath === '$') delete local.ResultPath;
    if (local.OutputPath === '$') delete local.OutputPath;
    if (local.InputPath === '$') delete local.InputPath;
    if (state.Retry) local.Retry = state.Retry.map((retrier) => scaled(retrier, waitScale));
    if (state.Catch) local.Catch = state.Catch.map(withoutRootPath);
    if (state.Branches) local.Branches = state.Branches.map(rewrite);
    if (state.Iterator) local.Iterator = rewrite(state.Iterator);
    if (state.ItemProcessor) local.ItemProcessor = rewrite(state.ItemProcessor);
    switch (state.Type) {
      case 'Task':
        tasks.set(name, { kind: 'task', resource: state.Resource ?? '' });
        if (state.TimeoutSecondsPath === undefined) {
          local.TimeoutSeconds = Math.min(
            state.TimeoutSeconds ?? LONGEST_TIMEOUT_SECONDS,
            LONGEST_TIMEOUT_SECONDS,
          );
        }
        return local;
      case 'Wait':
        if (state.Seconds !== undefined) return { ...local, Seconds: state.Seconds * waitScale };
        tasks.set(name, { kind: 'wait', state });
        for (const field of ['SecondsPath', 'Timestamp', 'TimestampPath'] as const) delete local[field];
        return { ...local, Type: 'Task', Resource: 'wait', TimeoutSeconds: LONGEST_TIMEOUT_SECONDS };
      case 'Fail':
        // The interpreter would use its own words.
        if (state.Error === undefined && state.ErrorPath === undefined) local.Error = '';
        if (state.Cause === undefined && state.CausePath === undefined) local.Cause = '';
        return local;
      default:
        return local;
    }
  }

  return {
    definition: rewrite(givenInput(source, input)) as unknown as StateMachineDefinition,
    tasks,
    types,
  };
}

/** The definition, with the input inlined into the first state because the interpreter would not find it at `$`. */
function givenInput(source: Definition, input: unknown): Definition {
  const first = source.States[source.StartAt];
  if (input || !first?.Parameters) return source;
  const put = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(put);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) =>
        key.endsWith('.$') && each === '$' ? [key.slice(0, -2), input] : [key, put(each)],
      ),
    );
  };
  return {
    ...source,
    States: { ...source.States, [source.StartAt]: { ...first, Parameters: put(first.Parameters) } },
  };
}

function scaled(retrier: Retrier, waitScale: number): Retrier {
  const { MaxDelaySeconds } = retrier;
  return {
    ...retrier,
    IntervalSeconds: (retrier.IntervalSeconds ?? 1) * waitScale,
    ...(MaxDelaySeconds === undefined ? {} : { MaxDelaySeconds: MaxDelaySeconds * waitScale }),
  };
}

function withoutRootPath<T extends { ResultPath?: string | null }>(catcher: T): T {
  if (catcher.ResultPath !== '$') return catcher;
  const { ResultPath: _root, ...rest } = catcher;
  return rest as T;
}

/**
 * Duration of a Wait state with a computed end, in seconds before scaling.
 * @throws {Error} named States.Runtime when its path has no usable value
 */
export function waitSeconds(state: State, input: unknown): number {
  const seconds = state.SecondsPath === undefined ? undefined : valueAt(state.SecondsPath, input);
  if (typeof seconds === 'number') return seconds;
  const timestamp = state.Timestamp ?? (state.TimestampPath && valueAt(state.TimestampPath, input));
  const end = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(end)) {
    const error = new Error('The wait of this state leads to no number of seconds and no timestamp');
    error.name = 'States.Runtime';
    throw error;
  }
  return Math.max(0, (end - Date.now()) / 1_000);
}

/** Reference paths without filters: `$.a.b`. */
function valueAt(path: string, input: unknown): unknown {
  let value = input;
  for (const key of path.split('.').slice(1)) value = (value as Record<string, unknown> | undefined)?.[key];
  return value;
}
