import type { Placement } from './placement.ts';

/** The place of one attempt at a transaction. */
export type AttemptPlace = Pick<Placement, 'tenantId' | 'epoch' | 'schemaVersion'>;

/** Watches the attempts at a tenant's transactions. */
export interface AttemptWatch {
  /**
   * Called in each attempt before its COMMIT can be sent: for a transaction after its work, for a batch, whose COMMIT
   * travels with its statements, before the batch. It must not throw.
   */
  beforeCommit(place: AttemptPlace): Promise<void> | void;
}

/** A value that may come from the cache. */
export interface CachedSource<Value> {
  /** The key without tenant and epoch, such as `skills:list`; made by `cacheNames`. */
  readonly name: string;
  /** Changes with the form of the value: a release never uses what another release has stored in another form. */
  readonly shape: string;
  /** Also kept in the container's memory, and validated by its version. */
  readonly inMemory?: boolean;
  /** Reads the value from the database. */
  load(watch?: AttemptWatch): Promise<Value>;
  /** The value as JSON can have it; the value itself when absent. */
  encode?(value: Value): unknown;
  decode?(json: unknown): Value;
}

/** The cache of one tenant's data. `tenant-data/tenant-cache.ts` implements it. */
export interface CachedData {
  /** @throws what `load` throws. @param place of the tenant, as this container knows it. */
  read<Value>(place: AttemptPlace, source: CachedSource<Value>): Promise<Value>;
  /**
   * Runs a change so that no cached copy of what it changes outlives it.
   * @param names of what it changes; the work may add names until its transaction commits.
   */
  change<Result>(names: ReadonlySet<string>, work: (watch: AttemptWatch) => Promise<Result>): Promise<Result>;
}
