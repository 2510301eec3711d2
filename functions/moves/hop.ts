/**
 * One hop of a move, as its phases see it, and the one answer to whether it is committed: the tenant's row in the
 * source's database.
 *
 * What the registry has about it (`tenant_move_hops.state`, `committed_at`, `result.committedAt`) follows the row and
 * is advisory before the hop is `settled`: a phase may use it to skip work or to ignore requests to abort, never to
 * drop something. `settled` and `rolled-back` are written only after the row was read.
 */

import type { Attempt } from '../database/transfer/claim.ts';
import { type PlacementRow, readPlacement, showsCommit } from '../database/transfer/fence.ts';
import { keptSchemaName } from '../placement/tenant-names.ts';
import { type Location, type Place, tablesVersionOf } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { DataApi } from '../registry/data-api.ts';

/** A reshape changes the isolation model inside one database; a relocate takes a schema to another cluster. */
export type HopKind = 'reshape' | 'relocate';

/**
 * What the target of a restore's hop is filled with, instead of with the tenant's present rows: phase `fill` does it. The
 * hop's other phases carry the tables named in `carried`, as a move does with all tables.
 */
export type Filling = {
  /** Of the tables that the rows come from. The hop's own version is this one or a later one. */
  readonly schemaVersion: number;
  /** Tables whose present rows stay the tenant's: they are carried over from the source. */
  readonly carried: readonly string[];
} /** A tenant's backup: its own, or the one of the tenant that it is a clone of. */ & (
  | {
      readonly from: 'backup';
      readonly backupId: string;
      readonly tenantId: string;
      /** What names or describes a person is blanked. */
      readonly mask: boolean;
    }
  /** Rows that an earlier restore has replaced, in the same database. */
  | { readonly from: 'schema'; readonly schemaName: string }
);

export interface Hop {
  readonly moveId: string;
  readonly index: number;
  readonly kind: HopKind;
  readonly attempt: Attempt;
  /** `<epoch>a<number>`: the suffix of every name that belongs to this attempt. */
  readonly suffix: string;
  readonly source: Place;
  readonly target: Place;
  /** Absent where the target gets all rows of the source. */
  readonly filling?: Filling;
}

/**
 * Reads the tenant's row in the source's database, and whether it shows the commit of the hop. An uncommitted hop may
 * still be committed until its claim is revoked: the roll back of either kind revokes the claim before it drops
 * anything, and stops when it finds a commit.
 */
export function readCommit(
  hop: Hop,
): Promise<{ readonly committed: boolean; readonly placement: PlacementRow | undefined }> {
  return asOwnerOf(hop.source, async (owner) => {
    const placement = await readPlacement(owner, hop.attempt.tenantId);
    return { committed: showsCommit(placement, hop), placement };
  });
}

/** Settings of the target's schema. */
export function tablesAtTarget({ target }: Pick<Hop, 'target'>) {
  return { schemaName: target.schemaName, schemaVersion: tablesVersionOf(target) };
}

/**
 * The schema that keeps what the hop of a restore has replaced, for an undo, until the hop is cleaned up. The rows of shared
 * tables are copied there, because the tenant comes back to those tables; an isolated tenant's schema is kept as it is.
 */
export function keptIn({ filling, source, suffix, attempt }: Hop): string | undefined {
  if (!filling) return undefined;
  return source.isolationModel === 'shared' ? keptSchemaName(attempt.tenantId, suffix) : source.schemaName;
}

/** Whether both places have the tenant's one role, and so its one secret. */
export const keepsRole = ({ source, target }: Pick<Hop, 'source' | 'target'>): boolean =>
  source.roleName === target.roleName;

/** Name of the publication, subscription, slot and replication role of a relocate. */
export function replicationName({ attempt, suffix }: Hop): string {
  return `move_${attempt.tenantId.replaceAll('-', '')}_e${suffix}`;
}

/** True when the tenant moves to another region, with its registry rows: see other-region/. */
export function leavesRegion({
  source,
  target,
}: {
  readonly source: Pick<Location, 'region'>;
  readonly target: Pick<Location, 'region'>;
}): boolean {
  return source.region !== target.region;
}

/** The registries that a move needs. Each region has its own; a move to another region needs two. */
export interface Regions {
  /** Region whose registry has the move, such as `us`. */
  readonly ownKey: string;
  /** All regions of the installation. The first is home, whose registry has every slug. */
  readonly keys: readonly string[];
  /** @throws {UnknownRegion} */
  of(regionKey: string): Pick<DataApi, 'query' | 'transaction'>;
  /** @throws {UnknownRegion} */
  awsRegionOf(regionKey: string): string;
}

/** Progress of the current phase. Unknown figures are left out. */
export interface PhaseProgress {
  readonly rowsDone?: number;
  readonly rowsTotal?: number;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
  readonly lagBytes?: number;
  /** How long the tenant's writes have been paused so far, or were; milliseconds. */
  readonly pauseMs?: number;
}

/** What a phase of a hop works with. Phases are idempotent: each may run again from its start, or concurrently. */
export interface HopContext {
  /** Read once, when the phase was opened. */
  readonly hop: Hop;
  /** True when the hop is settled: a repeated `settle` has nothing left to do. */
  readonly settled?: boolean;
  /** On `performance.now()`'s clock: a phase that is not done by then returns its cursor and is called again. */
  readonly deadline: number;
  /** Reports the progress of the phase. @throws {MoveAborted} before the commit point, when an abort was requested. */
  progress(update: PhaseProgress): Promise<void>;
  /** Records facts in the hop for the move's report, merged with the earlier ones. */
  keep(facts: Readonly<Record<string, unknown>>): Promise<void>;
  /** Facts that this phase or an earlier one has recorded. */
  readonly kept: Readonly<Record<string, unknown>>;
  /** Adds to the target what was not known when the hop was planned; later phases find it in `hop.target`. */
  amendTarget(found: Partial<Place>): Promise<void>;
}

/**
 * The result of a phase that the workflow calls until it is done. `cursor`, which is JSON, is passed to the next call
 * unchanged.
 */
export interface PhaseOutcome<Cursor = unknown> {
  readonly done: boolean;
  readonly cursor?: Cursor;
}

/** The work of one phase of a hop. */
export type PhaseWork = (context: HopContext, cursor?: unknown) => Promise<PhaseOutcome>;
