/**
 * Runs a tenant's transactions in the database that has the tenant, and follows the tenant during a move.
 *
 * States of a request: trying ──done──▶ answered
 *   trying ──TN001 fenced──▶ waiting (without a connection) ──▶ trying
 *   trying ──TN002 / TN003 / unreachable / tables lack something──▶ looking up ──▶ trying
 *   waiting or looking up ──deadline, or too many of the tenant wait already──▶ unavailable
 *   trying ──TN002 into another region──▶ elsewhere
 * Invariants: only the transaction is run again, and only when it certainly was not committed; a tenant that a database
 * does not know raises an alarm (TN004) and is never looked for in another database.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FeatureFlags } from '../contracts/features.ts';
import type { Tier } from '../contracts/tenant.ts';
import {
  PlacementUnreachable,
  SchemaUpgrading,
  StaleEpoch,
  TenantFenced,
  TenantMoved,
  TransactionConflict,
} from '../database/errors.ts';
import {
  clearExpiredFence,
  isLockTableFull,
  noteRetry,
  relieveLockTable,
} from '../database/session/between-attempts.ts';
import type { DatabasePools } from '../database/session/pools.ts';
import {
  type Access,
  runTenantBatch,
  runTenantTransaction,
  type TenantTransaction,
} from '../database/session/tenant-session.ts';
import type { RowsOf, Statement } from '../database/session/tenant-sql.ts';
import type { AttemptWatch, CachedData } from './cached-data.ts';
import type { DirectoryEntry } from './directory-entry.ts';
import { NotPlaced, TenantElsewhere, TenantUnavailable } from './errors.ts';
import { type NextPlace, type Placement, parseForward } from './placement.ts';
import { TenantBulkhead } from './tenant-bulkhead.ts';
import type { TenantDirectory } from './tenant-directory.ts';

export interface RouterOptions {
  /** How long one request may wait for a fenced or moving tenant, in milliseconds. */
  readonly patienceMs?: number;
  /**
   * Key of the function's region. A tenant that moves to another region is not followed. Absent: there is one region
   * only.
   */
  readonly regionKey?: string | undefined;
}

const MAX_CONFLICTS = 5;
const MAX_UNREACHABLE = 1;
/** A connection that cannot be made costs a request seconds. */
const AVOID_READER_MS = 30_000;

/** A tenant of a request. */
export interface KnownTenant {
  readonly tenantId: string;
  /**
   * The entry that the request has looked up. Undefined once a transaction has failed with it: the directory then
   * decides.
   */
  entry?: DirectoryEntry | undefined;
}

export class TenantRouter {
  readonly #directory: TenantDirectory;
  readonly #pools: DatabasePools;
  readonly #patienceMs: number;
  readonly #regionKey: string | undefined;
  readonly #prepared = new WeakSet<NextPlace>();
  readonly #bulkhead = new TenantBulkhead();
  /** By host of a reader that could not be reached: until when it is not tried, on `performance.now()`'s clock. */
  readonly #avoided = new Map<string, number>();

  constructor(
    directory: TenantDirectory,
    pools: DatabasePools,
    { patienceMs = 10_000, regionKey }: RouterOptions = {},
  ) {
    this.#directory = directory;
    this.#pools = pools;
    this.#patienceMs = patienceMs;
    this.#regionKey = regionKey;
  }

  /**
   * Runs the statements in one transaction, in one round trip when connections pipeline.
   * @throws {NotPlaced | TenantElsewhere | TenantUnavailable | SchemaUpgrading} and what the statements throw.
   */
  batch<const Statements extends readonly Statement<unknown>[]>(
    tenant: KnownTenant,
    access: Access,
    statements: Statements,
    watch?: AttemptWatch,
  ): Promise<RowsOf<Statements>> {
    return this.#follow(tenant, access, async (placement) => {
      await watch?.beforeCommit(placement);
      return runTenantBatch(this.#pools, placement.address, placement, access, statements);
    });
  }

  /**
   * Reads for analytics: at a reader of the tenant's cluster if it has one, else, and after any error there, as `batch`.
   * A reader may lag behind. So its copy of the tenant's placement must have the epoch of this request, which `enter`
   * checks: after a move, a reader that has not heard of it refuses, and the writer answers.
   * @throws as `batch`.
   */
  async batchForAnalytics<const Statements extends readonly Statement<unknown>[]>(
    tenant: KnownTenant,
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    const entry = tenant.entry ?? (await this.#directory.byId(tenant.tenantId));
    const placement = entry?.status === 'elsewhere' ? undefined : entry?.placement;
    const reader = placement?.readerHost;
    if (placement && reader !== undefined && (this.#avoided.get(reader) ?? 0) < performance.now()) {
      const address = { ...placement.address, host: reader };
      try {
        return await runTenantBatch(this.#pools, address, placement, 'read', statements);
      } catch (error) {
        if (error instanceof PlacementUnreachable) {
          this.#avoided.set(reader, performance.now() + AVOID_READER_MS);
          if (reader !== placement.address.host) this.#pools.discard(address);
        }
      }
    }
    return this.batch(tenant, 'read', statements);
  }

  /**
   * Runs `work` in one transaction. `work` may run more than once, from its start, as long as nothing is committed: it
   * must do nothing but query.
   * @throws {NotPlaced | TenantElsewhere | TenantUnavailable | SchemaUpgrading} and what `work` throws.
   */
  transaction<Result>(
    tenant: KnownTenant,
    access: Access,
    work: (transaction: TenantTransaction) => Promise<Result>,
    watch?: AttemptWatch,
  ): Promise<Result> {
    return this.#follow(tenant, access, (placement) =>
      runTenantTransaction(this.#pools, placement.address, placement, access, async (transaction) => {
        const result = await work(transaction);
        await watch?.beforeCommit(placement);
        return result;
      }),
    );
  }

  /** The tenant's place as the directory knows it; undefined when it has none here. */
  async placeOf({ tenantId, entry }: KnownTenant): Promise<Placement | undefined> {
    const known = entry ?? (await this.#directory.byId(tenantId));
    return known?.status === 'elsewhere' ? undefined : known?.placement;
  }

  /**
   * ARN of the tenant's own key for encrypted fields; undefined when they are encrypted under the region's key. After a
   * move it may be the former one for a moment: both keys stay usable, and the fields are encrypted again later.
   */
  async ownFieldKey({ tenantId, entry }: KnownTenant): Promise<string | undefined> {
    const known = entry ?? (await this.#directory.byId(tenantId));
    return known?.placement?.isolationModel === 'dedicated' ? known.fieldKeyArn : undefined;
  }

  async #follow<Result>(
    tenant: KnownTenant,
    access: Access,
    attempt: (placement: Placement) => Promise<Result>,
  ): Promise<Result> {
    const wait = new Wait(this.#bulkhead, `${tenant.tenantId} ${access}`, this.#patienceMs);
    try {
      const result = await this.#try(tenant, wait, attempt);
      wait.succeeded();
      return result;
    } finally {
      wait.end();
    }
  }

  async #try<Result>(
    tenant: KnownTenant,
    wait: Wait,
    attempt: (placement: Placement) => Promise<Result>,
  ): Promise<Result> {
    const { tenantId } = tenant;
    let conflicts = 0;
    let unreachable = 0;
    let lookups = 0;
    let outdated = false;
    let moving = false;
    for (;;) {
      const entry = tenant.entry ?? (await this.#directory.byId(tenantId));
      if (entry?.status === 'elsewhere') throw elsewhere(entry, entry.homeRegion);
      const placement = entry?.placement;
      if (!placement) throw new NotPlaced('the tenant has no placement');
      this.#prepareFor(entry);
      try {
        const result = await attempt(placement);
        if (moving) await noteRetry(this.#pools, placement.address, placement).catch(() => {});
        return result;
      } catch (error) {
        moving ||= isMove(error);
        tenant.entry = undefined;
        if (error instanceof TenantFenced) {
          // Ignore a failure: another request may have cleared the fence, or a move may hold the lock. The next attempt
          // shows it.
          if (error.fence.expired) {
            await clearExpiredFence(this.#pools, placement.address, tenantId, error.fence).catch(() => {});
          }
          await wait.about(20, error);
        } else if (error instanceof TenantMoved || error instanceof StaleEpoch) {
          const forward = error instanceof TenantMoved && parseForward(tenantId, error.forward);
          if (forward && this.#isElsewhere(forward)) throw elsewhere(entry, forward.region);
          if (forward && forward.epoch > placement.epoch) this.#directory.learn(forward);
          else await this.#directory.refresh(tenantId);
          // The registry is updated after the databases: only the first look-up is made without waiting.
          if (lookups++ > 0) await wait.about(50, error);
        } else if (error instanceof PlacementUnreachable) {
          if (unreachable++ >= MAX_UNREACHABLE) throw unavailable(error);
          this.#pools.discard(placement.address);
          await this.#directory.refresh(tenantId).catch(() => {});
        } else if (error instanceof SchemaUpgrading && !outdated) {
          // The tables may be newer than the cached version, or a move has taken the tenant's schema away.
          outdated = true;
          await this.#directory.refresh(tenantId).catch(() => {});
        } else if (error instanceof TransactionConflict) {
          if (conflicts++ >= MAX_CONFLICTS) throw unavailable(error);
          if (isLockTableFull(error)) await relieveLockTable(this.#pools, placement.address).catch(() => {});
          await wait.about(10 * 2 ** conflicts, error);
        } else {
          throw error;
        }
      }
    }
  }

  /**
   * Once for each entry of the directory: connects to the next place early, so that requests after a cut-over need no
   * handshake.
   */
  #prepareFor(entry: DirectoryEntry): void {
    const { next } = entry;
    if (!next || this.#prepared.has(next)) return;
    this.#prepared.add(next);
    if (this.#regionKey === undefined || next.region === this.#regionKey)
      void this.#pools.prepare(next.address);
  }

  /** The database decides: the registry is updated after the databases and may still have the tenant here. */
  #isElsewhere(forward: Placement): boolean {
    return this.#regionKey !== undefined && forward.region !== this.#regionKey;
  }
}

/** The waiting time of one request. From the first wait on it counts in its tenant's bulkhead. */
class Wait {
  readonly #bulkhead: TenantBulkhead;
  readonly #key: string;
  readonly #deadline: number;
  #joined = false;

  constructor(bulkhead: TenantBulkhead, key: string, patienceMs: number) {
    this.#bulkhead = bulkhead;
    this.#key = key;
    this.#deadline = performance.now() + patienceMs;
  }

  /**
   * Waits about `ms` milliseconds with jitter, so that the writers that wait for one fence do not return all at once.
   * @throws {TenantUnavailable} at the deadline, and at once when too many requests of the tenant wait.
   */
  async about(ms: number, cause: unknown): Promise<void> {
    this.#joined ||= this.#bulkhead.join(this.#key);
    if (!this.#joined) throw unavailable(cause);
    const pause = ms * (0.5 + Math.random());
    if (performance.now() + pause > this.#deadline) {
      this.#bulkhead.waitedInVain(this.#key);
      throw unavailable(cause);
    }
    await delay(pause);
  }

  succeeded(): void {
    this.#bulkhead.succeeded(this.#key);
  }

  end(): void {
    if (this.#joined) this.#bulkhead.leave(this.#key);
  }
}

/** Only for the statistics of a move: the request is retried in any case. */
function isMove(error: unknown): boolean {
  return error instanceof TenantFenced || error instanceof TenantMoved || error instanceof StaleEpoch;
}

function elsewhere({ slug }: DirectoryEntry, region: string): TenantElsewhere {
  return new TenantElsewhere({ slug, region });
}

function unavailable(cause: unknown): TenantUnavailable {
  return new TenantUnavailable('the tenant could not be served in time', 2, { cause });
}

/** What a request may know of its tenant, and use besides its database. */
export interface TenantServices {
  /** Absent: nothing of the tenant is cached. */
  readonly cache?: CachedData | undefined;
  /** Feature flags of `tenants.features`. */
  readonly features?: FeatureFlags | undefined;
  /** The tenant has more data than it may have, by its last sample. */
  readonly isFull?: boolean | undefined;
}

/** Access to one tenant's data: the only way to a database that request code gets. */
export class TenantAccess {
  readonly tenantId: string;
  readonly slug: string;
  /** Undefined when the request has looked up no entry. */
  readonly tier: Tier | undefined;
  readonly cellId: string | undefined;
  readonly cache: CachedData | undefined;
  readonly features: FeatureFlags;
  readonly isFull: boolean;
  readonly #router: TenantRouter;
  #tenant: KnownTenant;
  #watch: AttemptWatch | undefined;

  /** @param entry the entry that the request has looked up, so that its transactions need no second look-up. */
  constructor(
    tenantId: string,
    slug: string,
    router: TenantRouter,
    entry?: DirectoryEntry,
    { cache, features = {}, isFull = false }: TenantServices = {},
  ) {
    this.tenantId = tenantId;
    this.slug = slug;
    this.tier = entry?.tier;
    this.cellId = entry?.cellId;
    this.cache = cache;
    this.features = features;
    this.isFull = isFull;
    this.#tenant = { tenantId, entry };
    this.#router = router;
  }

  /** The same tenant, whose transactions are watched. */
  watchedBy(watch: AttemptWatch): TenantAccess {
    const watched = new TenantAccess(this.tenantId, this.slug, this.#router, undefined, this);
    watched.#tenant = this.#tenant;
    watched.#watch = watch;
    return watched;
  }

  /** @see TenantRouter.placeOf */
  place(): Promise<Placement | undefined> {
    return this.#router.placeOf(this.#tenant);
  }

  /** @see TenantRouter.ownFieldKey */
  ownFieldKey(): Promise<string | undefined> {
    return this.#router.ownFieldKey(this.#tenant);
  }

  /** @see TenantRouter.batch */
  batch<const Statements extends readonly Statement<unknown>[]>(
    access: Access,
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#router.batch(this.#tenant, access, statements, this.#watch);
  }

  /** @see TenantRouter.batchForAnalytics */
  batchForAnalytics<const Statements extends readonly Statement<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#router.batchForAnalytics(this.#tenant, statements);
  }

  /** @see TenantRouter.transaction */
  transaction<Result>(
    access: Access,
    work: (transaction: TenantTransaction) => Promise<Result>,
  ): Promise<Result> {
    return this.#router.transaction(this.#tenant, access, work, this.#watch);
  }
}
