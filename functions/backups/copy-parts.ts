/**
 * Phase `copy`: workers write the parts of a backup, all in one snapshot.
 *
 * Two lanes of workers run side by side, each invocation of the function is one worker of one lane, and a lane's next
 * worker begins when the one before has answered or died. A worker exports the snapshot under a name of its own, which the
 * registry's record shows for its lane; the lane is `present` then.
 *
 *   attempt:  planned ──first join──▶ has a snapshot ──all parts done──▶ finished
 *                ▲                        │ no worker is alive, or the readers gave way
 *                └────── next attempt ────┘ (all parts wait again)
 *   lane:     absent ──join──▶ present ──leave──▶ absent
 *
 * Invariants
 * 1. All workers of an attempt have the same snapshot: the first took it, and that join succeeds once an attempt; every
 *    other one imported it from a worker that was alive.
 * 2. A worker that ends early leaves its lane first. Leaving empties the lane only while the other one is present, in one
 *    atomic statement: the two lanes never leave at once, and the snapshot lives on in the other lane. (A lane whose worker
 *    was killed is present in the record; so before it leaves, a worker asks the server whether the other's snapshot lives.)
 * 3. A part belongs to the worker that claimed it until the lane's next worker joins; only its owner completes it, and
 *    each try writes an object of its own. The manifest names the objects of completed parts of the present attempt, so no
 *    object of an earlier try or attempt gets in.
 *    A worker repeats what the registry or S3 failed to do until its time is over, because the snapshot may end with it.
 * 4. A lost snapshot cannot be restored. The attempt is given up as a whole: whoever notices plans the next one, for the
 *    place where the tenant is by then.
 *
 * What gives way: the backup. A rollout that waits for a lock of the readers, or a move that has been committed meanwhile
 * (its clean-up waits for them, and the tables go then), ends the attempt within about a second, and the next one begins
 * when they are through. So neither waits for a backup of hours; what was read is lost, which is rare and bounded by the
 * number of attempts. A move that only copies runs beside the backup, and neither disturbs the other. A move that is
 * under way when an attempt begins comes first (`BackupDuringMove`).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { SnapshotGone, TablesLocked } from '../database/transfer/errors.ts';
import {
  beginSnapshot,
  exportSnapshot,
  isInTheWay,
  type SnapshotPlace,
  snapshotLives,
} from '../database/transfer/tenant-snapshot.ts';
import { isTransient } from '../database/transient-error.ts';
import { type BackupContext, connectReader, type Reader, runningBackup } from './backup-context.ts';
import type {
  BackupLedger,
  BackupPlan,
  BackupRecord,
  ClaimedPart,
  Lane,
  PartResult,
  WorkerReference,
} from './backup-ledger.ts';
import { copyPart, objectKey } from './copy-part.ts';
import { TablesChanging } from './errors.ts';
import { backedUpTables, copyStatement, planAttempt } from './plan-backup.ts';

/** On `performance.now()`'s clock. */
export interface CopyDeadlines {
  /** From when on the worker begins no part, and leaves as soon as it may. */
  readonly leave: number;
  /** By when it returns in any case. Between the two the other lane must have time for its next worker to join. */
  readonly end: number;
}

/** How often a worker looks whether it is in the way, and waits for the other lane. */
const LOOK_MS = 1_000;
/** The longest pause between two tries of a part, or of a call of the registry. */
const LONGEST_PAUSE_MS = 10_000;
/** Of a part, after an error that does not look transient. */
const TRIES_OF_PART = 3;

/**
 * Runs one worker. To be called again until it answers `done`: all parts of the backup are written.
 * @throws {BackupOvertaken} the backup was ended. {BackupDuringMove | TablesChanging} transient. {SnapshotLost} after the
 *   last attempt. And errors of PostgreSQL, of S3 and of the registry: after them, too, the lane goes on with a new worker.
 */
export async function copyParts(
  context: BackupContext,
  lane: Lane,
  deadlines: CopyDeadlines,
): Promise<{ readonly done: boolean }> {
  for (;;) {
    const record = await runningBackup(context.ledger);
    if (isDone(record)) return { done: true };
    if (performance.now() > deadlines.leave) return { done: false };
    try {
      const worker = await Worker.join(context, record, lane, deadlines);
      // Another worker has changed the record since it was read.
      if (!worker) continue;
      return { done: await worker.run() };
    } catch (error) {
      if (error instanceof TablesLocked) throw new TablesChanging({ cause: error });
      if (!(error instanceof SnapshotGone)) throw error;
      const now = await runningBackup(context.ledger);
      // The other lane may have written the last part, exported anew, or begun the next attempt since the record was read.
      if (!isDone(now) && isSameMoment(record, now)) await planAttempt(context, now);
    }
  }
}

const isDone = ({ plan, parts }: BackupRecord) => plan !== null && parts.waiting + parts.working === 0;

const isSameMoment = (one: BackupRecord, other: BackupRecord) =>
  one.attempt === other.attempt &&
  one.lanes.every((worker, lane) => worker?.snapshot === other.lanes[lane]?.snapshot);

class Worker {
  readonly #context: BackupContext;
  readonly #record: BackupRecord;
  readonly #self: WorkerReference;
  readonly #place: SnapshotPlace;
  readonly #deadlines: CopyDeadlines;
  /** In no transaction: what it reads is of now. */
  readonly #watch: Reader;
  /** Has the snapshot and exports it; reads nothing, so that a COPY that breaks off does not end it. */
  readonly #holder: Reader;
  #copier: Reader | undefined;
  #snapshot = '';
  /** Why the worker must end at once. */
  #broken: Error | undefined;

  private constructor(
    context: BackupContext,
    record: BackupRecord,
    self: WorkerReference,
    deadlines: CopyDeadlines,
    [watch, holder]: readonly [Reader, Reader],
  ) {
    this.#context = context;
    this.#record = record;
    this.#self = self;
    this.#deadlines = deadlines;
    this.#place = placeOf(record.tenantId, record.plan!);
    this.#watch = watch;
    this.#holder = holder;
  }

  /**
   * A worker that has the attempt's snapshot and its lane.
   * @returns undefined where the attempt, or who has its snapshot, has changed since the record was read.
   * @throws {SnapshotGone} no worker is alive. {TablesLocked} and the driver's errors.
   */
  static async join(
    context: BackupContext,
    record: BackupRecord,
    lane: Lane,
    deadlines: CopyDeadlines,
  ): Promise<Worker | undefined> {
    if (record.plan === null) throw new SnapshotGone('the backup is not planned');
    const { connect = connectReader } = context;
    const self = { attempt: record.attempt, lane, worker: randomUUID() };
    const watch = await connect(record.database);
    const holder = await connect(record.database).catch((error: unknown) => {
      watch.hangUp();
      throw error;
    });
    const worker = new Worker(context, record, self, deadlines, [watch, holder]);
    try {
      if (await worker.#begin()) return worker;
    } catch (error) {
      worker.#end();
      throw error;
    }
    worker.#end();
    return undefined;
  }

  /** Whether it has the snapshot and the lane. */
  async #begin(): Promise<boolean> {
    const { client } = this.#holder;
    const { snapshotAt, lanes } = this.#record;
    if (snapshotAt === null) {
      await beginSnapshot(client, this.#place);
      const { rows } = await client.query<{ now: Date }>('select pg_catalog.clock_timestamp() as now');
      this.#snapshot = await exportSnapshot(client);
      const first = { snapshotAt: this.#context.rowsOf ?? new Date(rows[0]!.now).toISOString() };
      return this.#context.ledger.join(this.#self, this.#snapshot, first);
    }
    // The other lane's first: this lane's last worker has most likely ended.
    const { lane } = this.#self;
    const known = [lanes[1 - lane], lanes[lane]].flatMap((present) => present?.snapshot ?? []);
    if (!(await this.#import(known))) throw new SnapshotGone('no worker of the backup is alive');
    this.#snapshot = await exportSnapshot(client);
    return this.#context.ledger.join(this.#self, this.#snapshot);
  }

  async #import(snapshots: readonly string[]): Promise<boolean> {
    for (const snapshot of snapshots) {
      try {
        await beginSnapshot(this.#holder.client, this.#place, snapshot);
        return true;
      } catch (error) {
        if (!(error instanceof SnapshotGone)) throw error;
      }
    }
    return false;
  }

  /**
   * Writes parts until all of the attempt are done, or the worker may leave.
   * @returns whether all are done.
   * @throws {SnapshotGone} the attempt is over.
   */
  async run(): Promise<boolean> {
    const ended = new AbortController();
    const watching = this.#lookOut(ended.signal);
    try {
      return await this.#work();
    } catch (error) {
      throw this.#broken ?? error;
    } finally {
      ended.abort();
      this.#end();
      await watching;
    }
  }

  async #work(): Promise<boolean> {
    for (;;) {
      this.#mustGoOn();
      if (performance.now() > this.#deadlines.leave) return this.#leave();
      const part = await this.#patiently((ledger) => ledger.claim(this.#self));
      if (part) {
        await this.#copy(part);
        continue;
      }
      const record = await this.#recordOfAttempt();
      if (isDone(record)) return true;
      // The other lane has the last parts; should its worker die, they wait again.
      if (record.parts.waiting === 0) await delay(LOOK_MS / 4);
    }
  }

  async #copy(part: ClaimedPart): Promise<void> {
    const result = await this.#write(part);
    if (!(await this.#patiently((ledger) => ledger.complete(this.#self, part.part, result))))
      throw new SnapshotGone('the part was given to another worker');
  }

  /** @throws errors of PostgreSQL and of S3 that do not pass, or not in time. */
  async #write(part: ClaimedPart): Promise<PartResult> {
    const table = this.#place.tables.find(({ name }) => name === part.table);
    if (!table) throw new TypeError(`the plan has an unknown table ${part.table}`);
    const columns = Object.keys(table.columns);
    const statement = copyStatement(this.#record.plan!, this.#record.tenantId, table, columns, part.range);
    for (let attempt = 1; ; attempt++) {
      const key = objectKey(this.#record.prefix, part.table, part.index);
      try {
        const copier = await this.#reader();
        return await copyPart(copier.client, statement, columns.length, this.#context.store, key);
      } catch (error) {
        this.#copier?.hangUp();
        this.#copier = undefined;
        if (error instanceof SnapshotGone || this.#broken) throw error;
        if (attempt >= TRIES_OF_PART && (!isTransient(error) || performance.now() > this.#deadlines.leave))
          throw error;
        // Where the snapshot is gone with the server, there is nothing to try again.
        await this.#holder.client.query('select 1');
        await this.#pause(attempt, this.#deadlines.leave);
        // The backup may have been ended meanwhile.
        await this.#recordOfAttempt();
      }
    }
  }

  /** Repeats a call of the registry whose failure may pass. */
  async #patiently<Answer>(call: (ledger: BackupLedger) => Promise<Answer>): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call(this.#context.ledger);
      } catch (error) {
        this.#mustGoOn();
        if (!isTransient(error) || performance.now() > this.#deadlines.end) throw error;
        await this.#pause(attempt, this.#deadlines.end);
      }
    }
  }

  async #pause(attempt: number, deadline: number): Promise<void> {
    const longest = Math.max(0, Math.min(LONGEST_PAUSE_MS, deadline - performance.now()));
    await delay(Math.min(longest, LOOK_MS * attempt) * (0.5 + Math.random() / 2));
  }

  /** The connection that reads the rows, with the snapshot. */
  async #reader(): Promise<Reader> {
    if (this.#copier) return this.#copier;
    const { connect = connectReader } = this.#context;
    const reader = await connect(this.#record.database);
    try {
      await beginSnapshot(reader.client, this.#place, this.#snapshot);
    } catch (error) {
      reader.hangUp();
      throw error;
    }
    this.#copier = reader;
    return reader;
  }

  /** Waits until the other lane keeps the snapshot, or the time is over; the snapshot may end with it then. */
  async #leave(): Promise<boolean> {
    for (;;) {
      this.#mustGoOn();
      const record = await this.#recordOfAttempt();
      if (isDone(record)) return true;
      const other = record.lanes[1 - this.#self.lane];
      if (
        other &&
        (await snapshotLives(this.#watch.client, other.snapshot)) &&
        (await this.#patiently((ledger) => ledger.leave(this.#self)))
      )
        return false;
      if (performance.now() + LOOK_MS / 4 > this.#deadlines.end) return false;
      await delay(LOOK_MS / 4);
    }
  }

  async #recordOfAttempt(): Promise<BackupRecord> {
    const record = await this.#patiently(runningBackup);
    if (record.attempt !== this.#self.attempt || record.lanes[this.#self.lane]?.worker !== this.#self.worker)
      throw new SnapshotGone('the lane has another worker, or the attempt is over');
    return record;
  }

  /** Ends the readers as soon as they are in the way. Keeps the holder's transaction from timing out as idle. */
  async #lookOut(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      try {
        await delay(LOOK_MS, undefined, { signal: ended });
        const pids = [this.#holder, ...(this.#copier ? [this.#copier] : [])].map(({ pid }) => pid);
        const [way] = await Promise.all([
          isInTheWay(this.#watch.client, this.#place, pids),
          this.#holder.client.query('select 1'),
        ]);
        if (way && !ended.aborted) this.#break(new SnapshotGone(`the readers are in the way ${way}`));
      } catch (error) {
        if (!ended.aborted) this.#break(error as Error);
      }
      if (this.#broken) return;
    }
  }

  #break(reason: Error): void {
    this.#broken ??= reason;
    this.#holder.hangUp();
    this.#copier?.hangUp();
  }

  #mustGoOn(): void {
    if (this.#broken) throw this.#broken;
  }

  #end(): void {
    for (const reader of [this.#holder, this.#copier, this.#watch]) reader?.hangUp();
  }
}

function placeOf(tenantId: string, plan: BackupPlan): SnapshotPlace {
  const { epoch, isolationModel, schemaName, schemaVersion } = plan;
  return { tenantId, epoch, isolationModel, schemaName, tables: backedUpTables(schemaVersion) };
}
