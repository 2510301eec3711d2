/** An event of GetExecutionHistory. `timestamp` is in epoch milliseconds until it is sent. */
export interface HistoryEvent {
  id: number;
  previousEventId: number;
  timestamp: number;
  type: string;
  [details: string]: unknown;
}

/** The interpreter's log, as far as it is read here. */
export interface InterpreterEvent {
  type: string;
  timestamp: number;
  input?: unknown;
  output?: unknown;
  index?: number;
  state?: { name: string; input: unknown; output?: unknown };
  parentState?: { name: string };
  Error?: string;
  Cause?: unknown;
}

/** Builds the history of one execution from the interpreter's log. Predecessors are told as if it were sequential. */
export class HistoryRecorder {
  readonly events: HistoryEvent[] = [];
  readonly #types: Map<string, string>;
  readonly #resources: Map<string, string>;
  readonly #roleArn: string;
  /** Task states whose failure is about to lead elsewhere. */
  readonly #caught = new Set<string>();

  readonly #added: (event: HistoryEvent) => void;

  /** @param added gets each event once it is in the history */
  constructor(
    types: Map<string, string>,
    resources: Map<string, string>,
    roleArn: string,
    added: (event: HistoryEvent) => void,
  ) {
    this.#added = added;
    this.#types = types;
    this.#resources = resources;
    this.#roleArn = roleArn;
  }

  add(type: string, details: Record<string, unknown> = {}, timestamp = Date.now()): void {
    const id = this.events.length + 1;
    const event: HistoryEvent = { id, previousEventId: id - 1, timestamp, type, ...details };
    this.events.push(event);
    this.#added(event);
  }

  record(event: InterpreterEvent): void {
    const { timestamp } = event;
    const name = event.state?.name ?? event.parentState?.name ?? '';
    const stateType = this.#types.get(name) ?? 'Task';
    switch (event.type) {
      case 'ExecutionStarted':
        this.add(
          'ExecutionStarted',
          { executionStartedEventDetails: { input: json(event.input), roleArn: this.#roleArn } },
          timestamp,
        );
        return;
      case 'StateEntered':
        this.add(
          `${stateType}StateEntered`,
          { stateEnteredEventDetails: { name, input: json(event.state?.input) } },
          timestamp,
        );
        if (stateType === 'Task') this.#scheduled(name, event);
        else if (stateType === 'Map' || stateType === 'Parallel')
          this.add(`${stateType}StateStarted`, {}, timestamp);
        return;
      case 'StateRetried':
        if (stateType === 'Task') this.#scheduled(name, event);
        return;
      case 'StateFailed':
        if (stateType === 'Task') {
          this.add(
            this.#taskEvent(name, 'Failed'),
            { [this.#taskDetails(name, 'Failed')]: { error: event.Error, cause: text(event.Cause) } },
            timestamp,
          );
        } else if (stateType === 'Map' || stateType === 'Parallel') {
          this.add(`${stateType}StateFailed`, {}, timestamp);
        }
        return;
      case 'StateCaught':
        this.#caught.add(name);
        return;
      case 'StateExited':
        if (stateType === 'Task' && !this.#caught.delete(name)) this.#succeeded(name, event);
        if (stateType === 'Map' || stateType === 'Parallel')
          this.add(`${stateType}StateSucceeded`, {}, timestamp);
        this.add(
          `${stateType}StateExited`,
          { stateExitedEventDetails: { name, output: json(event.state?.output) } },
          timestamp,
        );
        return;
      case 'MapIterationStarted':
      case 'MapIterationSucceeded':
      case 'MapIterationFailed': {
        const details = `${event.type.charAt(0).toLowerCase()}${event.type.slice(1)}EventDetails`;
        this.add(event.type, { [details]: { name, index: event.index } }, timestamp);
        return;
      }
      default:
        // Ends are recorded by the runner, which knows how the execution ended; branches have no events in AWS.
        return;
    }
  }

  #scheduled(name: string, event: InterpreterEvent): void {
    const resource = this.#resources.get(name) ?? '';
    const details = resource.startsWith('arn:aws:lambda:')
      ? { resource, input: json(event.state?.input) }
      : {
          resourceType: resource.split(':')[5],
          resource: resource.split(':')[6],
          parameters: json(event.state?.input),
        };
    this.add(
      this.#taskEvent(name, 'Scheduled'),
      { [this.#taskDetails(name, 'Scheduled')]: details },
      event.timestamp,
    );
    this.add(this.#taskEvent(name, 'Started'), {}, event.timestamp);
  }

  /** The interpreter tells a state's output, not the task's: they differ where the state selects from it. */
  #succeeded(name: string, event: InterpreterEvent): void {
    const details = { output: json(event.state?.output) };
    this.add(
      this.#taskEvent(name, 'Succeeded'),
      { [this.#taskDetails(name, 'Succeeded')]: details },
      event.timestamp,
    );
  }

  #taskEvent(name: string, what: string): string {
    return `${this.#resources.get(name)?.startsWith('arn:aws:lambda:') ? 'LambdaFunction' : 'Task'}${what}`;
  }

  #taskDetails(name: string, what: string): string {
    const event = this.#taskEvent(name, what);
    return `${event.charAt(0).toLowerCase()}${event.slice(1)}EventDetails`;
  }
}

function json(value: unknown): string {
  return JSON.stringify(value ?? null);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : json(value);
}
