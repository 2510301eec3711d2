/**
 * Executions of all state machines, written through when one starts and when it ends. The history of one that runs is
 * a journal, written event by event, and a document once it has ended.
 *
 * States: RUNNING → SUCCEEDED | FAILED | TIMED_OUT | ABORTED. Invariant: an execution that a killed platform left
 * RUNNING is ABORTED from the moment the store is opened again, so no execution is ever RUNNING without running. That
 * is durable only once it has been told on, so that a second kill does not swallow the news.
 */
import { createHash } from 'node:crypto';
import type { StateFile } from '../../../model.ts';
import type { HistoryEvent } from './history.ts';

export type ExecutionStatus = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';

export interface Execution {
  arn: string;
  name: string;
  stateMachineArn: string;
  status: ExecutionStatus;
  /** Epoch milliseconds. */
  startDate: number;
  stopDate?: number;
  /** JSON text, exactly as given. */
  input: string;
  output?: string;
  error?: string;
  cause?: string;
}

const DOCUMENT = 'executions';
/** Ended executions remembered per state machine. */
const KEPT = 1_000;

export class ExecutionStore {
  readonly #state: StateFile;
  readonly #executions = new Map<string, Execution>();
  /** Histories of what runs now, or was interrupted; the others are in documents of their own. */
  readonly #histories = new Map<string, HistoryEvent[]>();
  readonly #interrupted: Execution[] = [];

  constructor(state: StateFile) {
    this.#state = state;
    for (const execution of state.load<Execution[]>(DOCUMENT, [])) {
      this.#executions.set(execution.arn, execution);
      if (execution.status === 'RUNNING') this.#interrupted.push(execution);
    }
    for (const execution of this.#interrupted) {
      const stopDate = Date.now();
      const cause = 'The platform was stopped while this execution ran.';
      Object.assign(execution, { status: 'ABORTED', stopDate, cause });
      const history = state.entries<HistoryEvent>(historyDocument(execution.arn));
      history.push({
        id: history.length + 1,
        previousEventId: history.length,
        timestamp: stopDate,
        type: 'ExecutionAborted',
        executionAbortedEventDetails: { cause },
      });
      this.#histories.set(execution.arn, history);
    }
  }

  /** Tells of each execution that the last run left behind, then makes their end durable. */
  settleInterrupted(tell: (execution: Execution) => void): void {
    if (this.#interrupted.length === 0) return;
    const interrupted = this.#interrupted.splice(0);
    for (const execution of interrupted) {
      tell(execution);
      this.#saveHistory(execution.arn);
    }
    this.#save();
    for (const { arn } of interrupted) this.#state.removeJournal(historyDocument(arn));
  }

  get(arn: string): Execution | undefined {
    return this.#executions.get(arn);
  }

  /** Newest first. */
  of(stateMachineArn: string): Execution[] {
    return [...this.#executions.values()]
      .filter((execution) => execution.stateMachineArn === stateMachineArn)
      .reverse();
  }

  /** Durable before it returns. */
  start(execution: Execution, history: HistoryEvent[]): void {
    this.#executions.set(execution.arn, execution);
    this.#histories.set(execution.arn, history);
    this.#save();
  }

  /** Keeps the latest event of an execution that runs, for the case that it is interrupted. */
  record(arn: string, event: HistoryEvent): void {
    this.#state.append(historyDocument(arn), event);
  }

  /** Durable before it returns. */
  end(execution: Execution): void {
    this.#saveHistory(execution.arn);
    this.#forgetOldest(execution.stateMachineArn);
    this.#save();
    this.#state.removeJournal(historyDocument(execution.arn));
  }

  history(arn: string): HistoryEvent[] {
    return this.#histories.get(arn) ?? this.#state.load<HistoryEvent[]>(historyDocument(arn), []);
  }

  #saveHistory(arn: string): void {
    this.#state.save(historyDocument(arn), this.#histories.get(arn) ?? []);
    this.#histories.delete(arn);
  }

  #forgetOldest(stateMachineArn: string): void {
    const ended = this.of(stateMachineArn).filter((execution) => execution.status !== 'RUNNING');
    for (const execution of ended.slice(KEPT)) {
      this.#executions.delete(execution.arn);
      this.#state.save(historyDocument(execution.arn), []);
    }
  }

  #save(): void {
    this.#state.save(DOCUMENT, [...this.#executions.values()]);
  }
}

function historyDocument(arn: string): string {
  return `execution-${createHash('sha256').update(arn).digest('hex').slice(0, 24)}`;
}
