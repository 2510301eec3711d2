/**
 * Takes the base backups of all clusters when they are due, one at a time.
 *
 * States: idle → (begin) looking every few seconds → stopped. A base backup that fails (its server was restarted) is
 * tried again at the next look.
 */
import { reasonOf } from '../errors.ts';
import type { Log } from '../model.ts';

/** Between two looks at the archives, in ms: as much WAL as is written meanwhile exceeds their bound. */
const INTERVAL = 1_000;

export interface ArchivedCluster {
  arn: string;
  name: string;
  isRenewalDue(): boolean;
  takeBaseBackup(signal: AbortSignal): Promise<void>;
}

export class ArchiveUpkeep {
  readonly #clusters: () => ArchivedCluster[];
  readonly #log: Log;
  readonly #stopping = new AbortController();
  /** Why the last base backup of a cluster failed, by ARN, so that the log says it once. */
  readonly #failed = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #current: { arn: string; ending: AbortController; done: Promise<void> } | undefined;

  /** @param clusters those that run and archive their WAL */
  constructor(clusters: () => ArchivedCluster[], log: Log) {
    this.#clusters = clusters;
    this.#log = log;
  }

  begin(): void {
    if (this.#timer || this.#stopping.signal.aborted) return;
    this.#timer = setInterval(() => this.#look(), INTERVAL);
    this.#timer.unref();
    this.#look();
  }

  /** Ends the base backup of a cluster that is being taken; resolves when nothing writes to its archive any more. */
  async release(arn: string): Promise<void> {
    if (this.#current?.arn !== arn) return;
    this.#current.ending.abort();
    await this.#current.done;
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#timer);
    this.#current?.ending.abort();
    await this.#current?.done;
  }

  #look(): void {
    if (this.#current || this.#stopping.signal.aborted) return;
    const due = this.#clusters().find((cluster) => cluster.isRenewalDue());
    if (!due) return;
    const ending = new AbortController();
    const done = due.takeBaseBackup(ending.signal).then(
      () => {
        this.#failed.delete(due.arn);
        this.#current = undefined;
        this.#look();
      },
      (cause: unknown) => {
        this.#current = undefined;
        const reason = reasonOf(cause);
        if (ending.signal.aborted || this.#failed.get(due.arn) === reason) return;
        this.#failed.set(due.arn, reason);
        this.#log(`database cluster ${due.name} has no new base backup: ${reason}; trying again`);
      },
    );
    this.#current = { arn: due.arn, ending, done };
  }
}
