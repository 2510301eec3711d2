/**
 * What the registry keeps of one backup while it is made. The engine changes it through these calls only; each is one
 * atomic statement or transaction, and each changes nothing unless the backup is running and `attempt` is the present one.
 *
 * States of an attempt, per lane (0 and 1):  absent ──join──▶ present ──leave──▶ absent
 * States of a part:  waiting ──claim──▶ working ──complete──▶ done;  working ──join of the same lane──▶ waiting
 * copy-parts.ts says what the engine makes of them.
 */
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import type { OwnedDatabase } from '../database/session/owner-connection.ts';
import type { BackedUpTenant, BackedUpUser } from './manifest.ts';

export type Lane = 0 | 1;

/** Which rows of a table a part has; `to` is exclusive, null is open. The ranges of a table leave no row out. */
export type PartRange =
  | { readonly by: 'pages'; readonly from: number; readonly to: number | null }
  /** Of the first column of the primary key. */
  | { readonly by: 'keys'; readonly from: string | null; readonly to: string | null };

export interface PlannedPart {
  readonly table: string;
  /** From 0 within the table. */
  readonly index: number;
  /** null: the whole table. */
  readonly range: PartRange | null;
}

/** What an attempt reads. */
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
  /** null for a dedicated database. Of the tenant's place now, as `database` is; `plan` has that of the attempt. */
  readonly cellId: string | null;
  readonly database: OwnedDatabase;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted' | 'expired';
  /** S3 keys of the backup begin with it; ends with `/`. */
  readonly prefix: string;
  /** RFC 3339, UTC; so are the other times. */
  readonly startedAt: string;
  readonly expiresAt: string;
  /** 0 before the first plan. */
  readonly attempt: number;
  /** null before the first plan. */
  readonly plan: BackupPlan | null;
  /** null until the present attempt has its snapshot. */
  readonly snapshotAt: string | null;
  /** The worker that is present in each of the two lanes, and the snapshot that it exports. */
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

/** What was written of a part. */
export interface PartResult {
  readonly key: string;
  readonly rows: number;
  /** Of the COPY stream, before compression. */
  readonly rawBytes: number;
  /** Of the object. */
  readonly storedBytes: number;
  /** Of the object, hexadecimal. */
  readonly sha256: string;
  /** Of the rows, whatever their order: see row-digest.ts. */
  readonly contentHash: string;
}

export interface CompletedPart extends ClaimedPart, PartResult {}

export interface WorkerReference {
  readonly attempt: number;
  readonly lane: Lane;
  /** A random id: no two invocations have the same. */
  readonly worker: string;
}

export interface BackupLedger {
  /** undefined where there is no such record. */
  read(): Promise<BackupRecord | undefined>;
  /** For the manifest: the tenant's record and users as they are now. */
  readTenant(): Promise<{ readonly tenant: BackedUpTenant; readonly users: readonly BackedUpUser[] }>;
  /**
   * Begins attempt `from + 1`: replaces plan and parts, empties the lanes, and forgets `snapshotAt`.
   * @returns false where the present attempt is not `from`.
   */
  plan(from: number, plan: BackupPlan, parts: readonly PlannedPart[]): Promise<boolean>;
  /**
   * Makes the worker its lane's, in place of an earlier one, whose working parts wait again.
   * @param first when the snapshot was taken, where the worker did not import it: joins only if `snapshotAt` is null yet.
   * @returns false where it did not.
   */
  join(worker: WorkerReference, snapshot: string, first?: { readonly snapshotAt: string }): Promise<boolean>;
  /**
   * Empties the lane, if it is the worker's and the other lane is not empty, or every part is done.
   * @returns false where it did not.
   */
  leave(worker: WorkerReference): Promise<boolean>;
  /**
   * The first of the waiting parts and of those that are the worker's already: a call whose answer was lost can be
   * repeated. The part is working then; a worker completes it before it claims the next one.
   * @returns undefined where none waits or the lane is not the worker's any more.
   */
  claim(worker: WorkerReference): Promise<ClaimedPart | undefined>;
  /** Succeeds again with the same key. @returns false where the part is not (any more) the worker's. */
  complete(worker: WorkerReference, part: number, result: PartResult): Promise<boolean>;
  /** All parts of the attempt, in the plan's order. @returns undefined unless all are done. */
  completedParts(attempt: number): Promise<CompletedPart[] | undefined>;
  /** Ends the backup as succeeded; succeeds again with the same hash. @returns false where it has ended otherwise. */
  finish(
    attempt: number,
    result: { readonly manifestSha256: string; readonly rows: number; readonly bytes: number },
  ): Promise<boolean>;
}
