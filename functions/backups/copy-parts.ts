/**
 * Phase `copy`: workers write the parts of a backup, all in one snapshot.
 *
 * Two lanes of workers run in parallel. Each invocation of the function is one worker of one lane, and the lane's next
 * worker begins when the worker before it has returned or died. A worker exports the snapshot under a name of its own
 * and writes that name into the registry's record of its lane; the lane is `present` then.
 *
 *   attempt:  planned ──first join──▶ has a snapshot ──all parts done──▶ finished
 *                ▲                        │ no worker is alive, or the readers were ended
 *                └────── next attempt ────┘ (all parts wait again)
 *   lane:     absent ──join──▶ present ──leave──▶ absent
 *
 * Invariants
 * 1. All workers of an attempt have the same snapshot. The first worker takes it; its join succeeds only once per
 *    attempt. Every other worker imports it from a worker that is alive.
 * 2. A worker that ends before all parts are done leaves its lane first. Leaving is one atomic statement that empties
 *    the lane only while the other lane is present: so the two lanes never leave at once, and the other lane keeps the
 *    snapshot. (A lane whose worker was killed is still present in the record; so a worker that wants to leave first
 *    checks on the server that the other lane's snapshot is alive.)
 * 3. A part belongs to the worker that claimed it until the lane's next worker joins. Only its owner completes it, and
 *    each try writes a new object. The manifest names the objects of completed parts of the current attempt, so it
 *    never names an object of an earlier try or attempt.
 *    A worker retries failed calls of the registry and of S3 until its time is over: its end may end the snapshot.
 * 4. A lost snapshot cannot be restored, so the whole attempt is abandoned. The worker that detects the loss plans the
 *    next attempt, for the tenant's place at that time.
 *
 * Conflicts. A backup of hours must not block rollouts and moves. If a rollout waits for a lock of the readers, or if a
 * move of the tenant was committed (its clean-up waits for the readers before it deletes the tables), the attempt is
 * ended within about a second, and the next attempt begins after the rollout or move. The data read so far is lost;
 * this is rare, and the number of attempts is bounded. A move that is still copying and a backup run in parallel
 * without disturbing each other. An attempt does not begin while a move is running (`BackupDuringMove`).
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

/** Times on `performance.now()`'s clock. */
export interface CopyDeadlines {
  /** After this time the worker begins no part, and leaves its lane as soon as it may. */
  readonly leave: number;
  /** The worker returns by this time. The other lane's next worker must have time to join between `leave` and `end`. */
  readonly end: number;
}

/**
 * Interval at which a worker checks whether it blocks others; a quarter of it is the interval of waiting for the other
 * lane.
 */
const WATCH_MS = 1_000;
/** The longest pause between two tries of a part, or of a call of the registry. */
const LONGEST_PAUSE_MS = 10_000;
/** Tries of a part if its error does not look transient. */
const TRIES_OF_PART = 3;

/**
 * Runs one worker. Call it again until it returns `done`: all parts of the backup are written.
 * @throws {BackupOvertaken} the backup was ended.
 * @throws {BackupDuringMove | TablesChanging} transient.
 * @throws {SnapshotLost} after the last attempt.
 * @throws errors of PostgreSQL, S3 and the registry; the lane continues with a new worker after them, too.
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
      // Since the record was read, the other lane may have written the last part, exported again, or begun the next
      // attempt.
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
  /** Has no open transaction, so it reads the current state. */
  readonly #watch: Reader;
  /** Holds and exports the snapshot. It reads no rows, so a COPY that fails does not end the snapshot. */
  readonly #holder: Reader;
  #copier: Reader | undefined;
  #snapshot = '';
  /** The error that ends the worker at once. */
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
   * Connects a worker that has the attempt's snapshot and is present in its lane.
   * @returns undefined if the attempt, or the holders of its snapshot, have changed since the record was read.
   * @throws {SnapshotGone} no worker is alive.
   * @throws {TablesLocked} and the driver's errors.
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

  /** Takes or imports the snapshot and joins the lane. @returns false if the record has changed since it was read. */
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
    // The other lane's snapshot first: this lane's last worker has most likely ended.
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
   * Writes parts until all parts of the attempt are done, or the worker may leave.
   * @returns whether all are done.
   * @throws {SnapshotGone} the attempt is over.
   */
  async run(): Promise<boolean> {
    const ended = new AbortController();
    const watching = this.#watchForConflicts(ended.signal);
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
      this.#throwIfBroken();
      if (performance.now() > this.#deadlines.leave) return this.#leave();
      const part = await this.#retrying((ledger) => ledger.claim(this.#self));
      if (part) {
        await this.#copy(part);
        continue;
      }
      const record = await this.#recordOfAttempt();
      if (isDone(record)) return true;
      // The other lane is writing the last parts. If its worker dies, they become waiting again.
      if (record.parts.waiting === 0) await delay(WATCH_MS / 4);
    }
  }

  async #copy(part: ClaimedPart): Promise<void> {
    const result = await this.#write(part);
    if (!(await this.#retrying((ledger) => ledger.complete(this.#self, part.part, result))))
      throw new SnapshotGone('the part was given to another worker');
  }

  /** @throws errors of PostgreSQL and of S3 that are permanent, or that retries did not overcome in time. */
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
        // Throws if the server has lost the snapshot's session: a retry would be useless.
        await this.#holder.client.query('select 1');
        await this.#pause(attempt, this.#deadlines.leave);
        // The backup may have been ended meanwhile.
        await this.#recordOfAttempt();
      }
    }
  }

  /** Calls the registry, and retries transient failures until the worker's end. */
  async #retrying<Answer>(call: (ledger: BackupLedger) => Promise<Answer>): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call(this.#context.ledger);
      } catch (error) {
        this.#throwIfBroken();
        if (!isTransient(error) || performance.now() > this.#deadlines.end) throw error;
        await this.#pause(attempt, this.#deadlines.end);
      }
    }
  }

  async #pause(attempt: number, deadline: number): Promise<void> {
    const longest = Math.max(0, Math.min(LONGEST_PAUSE_MS, deadline - performance.now()));
    await delay(Math.min(longest, WATCH_MS * attempt) * (0.5 + Math.random() / 2));
  }

  /** The connection that reads the rows, in the snapshot. */
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

  /**
   * Waits until the other lane holds the snapshot, then leaves. If the time is over first, it returns without leaving,
   * and the snapshot may end with this worker.
   * @returns whether all parts are done.
   */
  async #leave(): Promise<boolean> {
    for (;;) {
      this.#throwIfBroken();
      const record = await this.#recordOfAttempt();
      if (isDone(record)) return true;
      const other = record.lanes[1 - this.#self.lane];
      if (
        other &&
        (await snapshotLives(this.#watch.client, other.snapshot)) &&
        (await this.#retrying((ledger) => ledger.leave(this.#self)))
      )
        return false;
      if (performance.now() + WATCH_MS / 4 > this.#deadlines.end) return false;
      await delay(WATCH_MS / 4);
    }
  }

  async #recordOfAttempt(): Promise<BackupRecord> {
    const record = await this.#retrying(runningBackup);
    if (record.attempt !== this.#self.attempt || record.lanes[this.#self.lane]?.worker !== this.#self.worker)
      throw new SnapshotGone('the lane has another worker, or the attempt is over');
    return record;
  }

  /**
   * Ends the readers once they block a rollout or a clean-up. Keeps the holder's transaction from timing out as idle.
   */
  async #watchForConflicts(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      try {
        await delay(WATCH_MS, undefined, { signal: ended });
        const pids = [this.#holder, ...(this.#copier ? [this.#copier] : [])].map(({ pid }) => pid);
        const [blocked] = await Promise.all([
          isInTheWay(this.#watch.client, this.#place, pids),
          this.#holder.client.query('select 1'),
        ]);
        if (blocked && !ended.aborted) this.#break(new SnapshotGone(`the readers are in the way ${blocked}`));
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

  #throwIfBroken(): void {
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
