/**
 * Runs transactions where their tenant lives, and follows it while it moves.
 *
 * States of a request: trying ──done──▶ answered
 *   trying ──TN001 fenced──▶ waiting (without a connection) ──▶ trying
 *   trying ──TN002 / TN003 / unreachable / tables lack something──▶ looking up ──▶ trying
 *   waiting or looking up ──deadline, or too many of the tenant wait already──▶ unavailable
 *   trying ──TN002 into another region──▶ elsewhere
 * Invariants: only the transaction is run again, and only where it is certain that it was not committed;
 * a tenant that a database does not know is an alarm (TN004), never a reason to look elsewhere.
 */
import { setTimeout as delay } from 'node:timers/promises';
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
  type RowsOf,
  runTenantBatch,
  runTenantTransaction,
  type Statement,
  type TenantTransaction,
} from '../database/session/tenant-session.ts';
import { NotPlaced, TenantElsewhere, TenantUnavailable } from './errors.ts';
import { type NextPlace, type Placement, parseForward } from './placement.ts';
import { TenantBulkhead } from './tenant-bulkhead.ts';
import type { DirectoryEntry, TenantDirectory } from './tenant-directory.ts';

export interface RouterOptions {
  /** How long one request may wait for a fenced or moving tenant, in milliseconds. */
  readonly patienceMs?: number;
  /** Key of the own region. A tenant that has gone to another one is not followed. Absent: there is no other. */
  readonly regionKey?: string | undefined;
}

const MAX_CONFLICTS = 5;
const MAX_UNREACHABLE = 1;

/** A tenant of a request. */
export interface KnownTenant {
  readonly tenantId: string;
  /** What the request has looked up; undefined once a database has contradicted it, so that the directory decides. */
  entry?: DirectoryEntry | undefined;
}

export class TenantRouter {
  readonly #directory: TenantDirectory;
  readonly #pools: DatabasePools;
  readonly #patienceMs: number;
  readonly #regionKey: string | undefined;
  readonly #prepared = new WeakSet<NextPlace>();
  readonly #bulkhead = new TenantBulkhead();

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
   * Runs the statements in one transaction, in one round trip where connections pipeline.
   * @throws {NotPlaced | TenantElsewhere | TenantUnavailable | SchemaUpgrading} and what the statements throw.
   */
  batch<const Statements extends readonly Statement<unknown>[]>(
    tenant: KnownTenant,
    access: Access,
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#follow(tenant, access, (placement) =>
      runTenantBatch(this.#pools, placement.address, placement, access, statements),
    );
  }

  /**
   * Runs `work` in one transaction. It may be run again from its start while nothing was committed, so it must do
   * nothing but query.
   * @throws {NotPlaced | TenantElsewhere | TenantUnavailable | SchemaUpgrading} and what `work` throws.
   */
  transaction<Result>(
    tenant: KnownTenant,
    access: Access,
    work: (transaction: TenantTransaction) => Promise<Result>,
  ): Promise<Result> {
    return this.#follow(tenant, access, (placement) =>
      runTenantTransaction(this.#pools, placement.address, placement, access, work),
    );
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
          // Whoever clears it first is enough, and a mover may hold the lock: the next attempt tells.
          if (error.fence.expired) {
            await clearExpiredFence(this.#pools, placement.address, tenantId, error.fence).catch(() => {});
          }
          await wait.about(20, error);
        } else if (error instanceof TenantMoved || error instanceof StaleEpoch) {
          const forward = error instanceof TenantMoved && parseForward(tenantId, error.forward);
          if (forward && this.#isElsewhere(forward)) throw elsewhere(entry, forward.region);
          if (forward && forward.epoch > placement.epoch) this.#directory.learn(forward);
          else await this.#directory.refresh(tenantId);
          // The registry may follow the databases a moment later: the first look-up is free, the next ones wait.
          if (lookups++ > 0) await wait.about(50, error);
        } else if (error instanceof PlacementUnreachable) {
          if (unreachable++ >= MAX_UNREACHABLE) throw unavailable(error);
          this.#pools.discard(placement.address);
          await this.#directory.refresh(tenantId).catch(() => {});
        } else if (error instanceof SchemaUpgrading && !outdated) {
          // The tables may be newer than this container knew, or the tenant's schema went with a move.
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

  /** Once for each look at the registry: a connection beforehand spares the requests behind a cut-over the handshakes. */
  #prepareFor(entry: DirectoryEntry): void {
    const { next } = entry;
    if (!next || this.#prepared.has(next)) return;
    this.#prepared.add(next);
    if (this.#regionKey === undefined || next.region === this.#regionKey)
      void this.#pools.prepare(next.address);
  }

  /** The registry may still say that the tenant is here: it follows the databases a moment later. */
  #isElsewhere(forward: Placement): boolean {
    return this.#regionKey !== undefined && forward.region !== this.#regionKey;
  }
}

/** The waiting of one request, which takes a place in its tenant's bulkhead from the first time on. */
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
   * Waits about `ms` with jitter, so that the writers behind one fence do not return all at once.
   * @throws {TenantUnavailable} at the deadline, and at once where the tenant has too many requests waiting.
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

/** Only for the figures of a move: whatever it is, the request goes on. */
function isMove(error: unknown): boolean {
  return error instanceof TenantFenced || error instanceof TenantMoved || error instanceof StaleEpoch;
}

function elsewhere({ slug }: DirectoryEntry, region: string): TenantElsewhere {
  return new TenantElsewhere({ slug, region });
}

function unavailable(cause: unknown): TenantUnavailable {
  return new TenantUnavailable('the tenant could not be served in time', 2, { cause });
}

/** One tenant and the way to its data: the only handle on a database that request code gets. */
export class TenantAccess {
  readonly tenantId: string;
  readonly slug: string;
  readonly #tenant: KnownTenant;
  readonly #router: TenantRouter;

  /** @param entry what the request has looked up, so that its transactions need not look again. */
  constructor(tenantId: string, slug: string, router: TenantRouter, entry?: DirectoryEntry) {
    this.tenantId = tenantId;
    this.slug = slug;
    this.#tenant = { tenantId, entry };
    this.#router = router;
  }

  /** @see TenantRouter.batch */
  batch<const Statements extends readonly Statement<unknown>[]>(
    access: Access,
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#router.batch(this.#tenant, access, statements);
  }

  /** @see TenantRouter.transaction */
  transaction<Result>(
    access: Access,
    work: (transaction: TenantTransaction) => Promise<Result>,
  ): Promise<Result> {
    return this.#router.transaction(this.#tenant, access, work);
  }
}
