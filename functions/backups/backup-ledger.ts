/**
 * The registry's state of one backup that is being made. The engine changes it only through these calls. Each call is
 * one atomic statement or transaction, and changes nothing unless the backup is running and `attempt` is the current
 * attempt.
 *
 * States of an attempt, per lane (0 and 1):  absent ──join──▶ present ──leave──▶ absent
 * States of a part:  waiting ──claim──▶ working ──complete──▶ done;  working ──join of the same lane──▶ waiting
 * copy-parts.ts describes how the engine uses these states.
 */
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import type { BackedUpTenant, BackedUpUser } from './manifest.ts';

export type Lane = 0 | 1;

/**
 * The rows of a table that a part has. `to` is exclusive; null means unbounded. The ranges of a table cover every row.
 */
export type PartRange =
  | { readonly by: 'pages'; readonly from: number; readonly to: number | null }
  /** A range of the first column of the primary key. */
  | { readonly by: 'keys'; readonly from: string | null; readonly to: string | null };

export interface PlannedPart {
  readonly table: string;
  /** From 0 within the table. */
  readonly index: number;
  /** null: the whole table. */
  readonly range: PartRange | null;
}

/** The place and the schema version that an attempt reads. */
export interface BackupPlan {
  readonly isolationModel: IsolationModel;
  readonly epoch: number;
  /** null for a dedicated database. */
  readonly cellId: string | null;
  readonly schemaName: string;
  readonly schemaVersion: number;
}

export interface BackupRecord {
  readonly backupId: string;
  readonly tenantId: string;
  readonly tier: Tier;
  /** Key of the region, such as `us`. */
  readonly region: string;
  /**
   * The cell of the tenant's current place, as `database` is; null for a dedicated database. `plan` has the attempt's
   * cell.
   */
  readonly cellId: string | null;
  readonly database: OwnedDatabase;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted' | 'expired';
  /** Prefix of the backup's S3 keys; ends with `/`. */
  readonly prefix: string;
  /** RFC 3339 in UTC, as the other times. */
  readonly startedAt: string;
  readonly expiresAt: string;
  /** 0 before the first plan. */
  readonly attempt: number;
  /** null before the first plan. */
  readonly plan: BackupPlan | null;
  /** null until the current attempt has its snapshot. */
  readonly snapshotAt: string | null;
  /** For each of the two lanes: the worker that is present, and the snapshot that it exports. */
  readonly lanes: readonly [PresentWorker | null, PresentWorker | null];
  readonly parts: { readonly waiting: number; readonly working: number; readonly done: number };
}

export interface PresentWorker {
  readonly worker: string;
  readonly snapshot: string;
}

export interface ClaimedPart extends PlannedPart {
  /** Number of the part in the plan, from 0. */
  readonly part: number;
}

/** The object that was written for a part. */
export interface PartResult {
  readonly key: string;
  readonly rows: number;
  /** Size of the COPY stream before compression. */
  readonly rawBytes: number;
  /** Size of the object. */
  readonly storedBytes: number;
  /** SHA-256 of the object, hexadecimal. */
  readonly sha256: string;
  /** Hash of the rows, independent of their order: see row-digest.ts. */
  readonly contentHash: string;
}

export interface CompletedPart extends ClaimedPart, PartResult {}

export interface WorkerReference {
  readonly attempt: number;
  readonly lane: Lane;
  /** A random id, different for each invocation. */
  readonly worker: string;
}

export interface BackupLedger {
  /** @returns undefined if the record does not exist. */
  read(): Promise<BackupRecord | undefined>;
  /** For the manifest: the tenant's record and users as they are now. */
  readTenant(): Promise<{ readonly tenant: BackedUpTenant; readonly users: readonly BackedUpUser[] }>;
  /**
   * Begins attempt `from + 1`: replaces plan and parts, empties the lanes, and clears `snapshotAt`.
   * @returns false if `from` is not the current attempt; nothing was changed.
   */
  plan(from: number, plan: BackupPlan, parts: readonly PlannedPart[]): Promise<boolean>;
  /**
   * Makes the worker the present one of its lane. It replaces an earlier worker, whose working parts become waiting
   * again.
   * @param first if the worker took the snapshot and did not import it: the time. It then joins only if `snapshotAt` is
   *   null.
   * @returns false if the worker did not join.
   */
  join(worker: WorkerReference, snapshot: string, first?: { readonly snapshotAt: string }): Promise<boolean>;
  /**
   * Empties the lane if the worker is present in it, and either the other lane is not empty or every part is done.
   * @returns false if the lane was not emptied.
   */
  leave(worker: WorkerReference): Promise<boolean>;
  /**
   * Sets one part to working for the worker: the first of the waiting parts and of the parts that the worker has
   * claimed already, so a call whose answer was lost can be repeated. A worker completes a part before it claims the
   * next one.
   * @returns undefined if no part is waiting, or if the worker is not present in the lane any more.
   */
  claim(worker: WorkerReference): Promise<ClaimedPart | undefined>;
  /** Idempotent for the same key. @returns false if the part does not, or no longer, belong to the worker. */
  complete(worker: WorkerReference, part: number, result: PartResult): Promise<boolean>;
  /** @returns all parts of the attempt in the plan's order; undefined unless all are done. */
  completedParts(attempt: number): Promise<CompletedPart[] | undefined>;
  /**
   * Ends the backup as succeeded. Idempotent for the same hash.
   * @returns false if the backup has ended in another way.
   */
  finish(
    attempt: number,
    result: { readonly manifestSha256: string; readonly rows: number; readonly bytes: number },
  ): Promise<boolean>;
}
