/**
 * One hop of a move, as its phases see it, and the one answer to whether it is committed: the tenant's row in the database
 * that it leaves.
 *
 * What the registry keeps of that (`tenant_move_hops.state`, `committed_at`, `result.committedAt`) follows the row and is
 * advisory before the hop is `settled`: a phase may use it to skip work or to stop listening to aborts, never to drop
 * something. `settled` and `rolled-back` are written only after the row has been read.
 */

import type { Attempt } from '../database/transfer/claim.ts';
import { type PlacementRow, readPlacement, showsCommit } from '../database/transfer/fence.ts';
import { type Location, type Place, tablesVersionOf } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { DataApi } from '../registry/data-api.ts';

/** A reshape changes the isolation model inside one database; a relocate takes a schema to another cluster. */
export type HopKind = 'reshape' | 'relocate';

export interface Hop {
  readonly moveId: string;
  readonly index: number;
  readonly kind: HopKind;
  readonly attempt: Attempt;
  /** `<epoch>a<number>`: the end of every name that belongs to this attempt. */
  readonly suffix: string;
  readonly source: Place;
  readonly target: Place;
}

/**
 * The tenant's row in the database that it leaves, and whether that row says that the hop is committed. A hop that is not
 * committed may still be, until its claim has been revoked: the roll back of either kind does that before it drops
 * anything, and stops where it finds a commit.
 */
export function readCommit(
  hop: Hop,
): Promise<{ readonly committed: boolean; readonly placement: PlacementRow | undefined }> {
  return asOwnerOf(hop.source, async (owner) => {
    const placement = await readPlacement(owner, hop.attempt.tenantId);
    return { committed: showsCommit(placement, hop), placement };
  });
}

/** What the schema of the target has, or will have. */
export function tablesAtTarget({ target }: Pick<Hop, 'target'>) {
  return { schemaName: target.schemaName, schemaVersion: tablesVersionOf(target) };
}

/** Publication, subscription, slot and replication role of a relocate share this name. */
export function replicationName({ attempt, suffix }: Hop): string {
  return `move_${attempt.tenantId.replaceAll('-', '')}_e${suffix}`;
}

/** Whether the tenant's data goes to another region, and its registry rows with them: see other-region/. */
export function leavesRegion({
  source,
  target,
}: {
  readonly source: Pick<Location, 'region'>;
  readonly target: Pick<Location, 'region'>;
}): boolean {
  return source.region !== target.region;
}

/** Each region has a registry of its own; a move that leaves one needs two of them. */
export interface Regions {
  /** Of the region whose registry knows the move, such as `us`. */
  readonly ownKey: string;
  /** Of all regions of the installation. The first is home, whose registry knows every slug. */
  readonly keys: readonly string[];
  /** @throws {UnknownRegion} */
  of(regionKey: string): Pick<DataApi, 'query' | 'transaction'>;
  /** @throws {UnknownRegion} */
  awsRegionOf(regionKey: string): string;
}

/** How far the present phase is. What is unknown is left out. */
export interface PhaseProgress {
  readonly rowsDone?: number;
  readonly rowsTotal?: number;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
  readonly lagBytes?: number;
  /** How long the tenant's writes have been paused so far, or were; milliseconds. */
  readonly pauseMs?: number;
}

/** What a phase of a hop works with. Phases are idempotent: any of them may run again from its start, or twice at once. */
export interface HopContext {
  /** Read once, when the phase was opened. */
  readonly hop: Hop;
  /** The hop is settled: a repeated `settle` has nothing left to do. */
  readonly settled?: boolean;
  /** On `performance.now()`'s clock: a phase that is not done by then returns what it has, and is called again. */
  readonly deadline: number;
  /** Shows the progress of the phase. @throws {MoveAborted} before the commit point, where an abort was requested. */
  progress(update: PhaseProgress): Promise<void>;
  /** Keeps facts with the hop, for the move's report; merged into what is there. */
  keep(facts: Readonly<Record<string, unknown>>): Promise<void>;
  /** What was kept so far, by this phase or an earlier one. */
  readonly kept: Readonly<Record<string, unknown>>;
  /** Fills in what was not known of the target when the hop was planned; later phases find it in `hop.target`. */
  amendTarget(found: Partial<Place>): Promise<void>;
}

/** What a phase answers that the workflow calls until it is done; `cursor`, which is JSON, goes into the next call as it is. */
export interface PhaseOutcome<Cursor = unknown> {
  readonly done: boolean;
  readonly cursor?: Cursor;
}

/** What one phase of a hop does. */
export type PhaseWork = (context: HopContext, cursor?: unknown) => Promise<PhaseOutcome>;
