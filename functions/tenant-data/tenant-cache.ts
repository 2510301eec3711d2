/**
 * The cache of tenants' data in Valkey (L2), with leases as in Facebook's memcache (Nishtala et al., NSDI 2013), and a
 * small part of it in the container's memory (L1).
 *
 * States of a key (`cache-scripts.ts` has the transitions):
 *
 *   absent ──read: lease──▶ leased ──store, the lease holds──▶ value ──VALUE_MS since the lease──▶ absent
 *   leased ──release, or LEASE_MS──▶ absent
 *   any ──write: tombstone──▶ tombstones (one for each write) ──clear, or TOMBSTONE_MS──▶ absent
 *   any ──eviction, restart of the server──▶ absent
 *
 * A read takes a lease, reads the database, and stores what it read if the lease still holds. While a key has a
 * tombstone, or another reader's lease, reads go to the database and store nothing; those that another reader of this
 * container can answer wait for it.
 * A write sets its tombstones in the attempt that commits, before its COMMIT can be sent, and clears them after COMMIT has
 * been answered and before the client gets its answer.
 *
 * Invariants, while the server answers:
 * - a value was read after its lease was granted, and no write has set a tombstone since then. So every write whose answer
 *   a client has got is in each value that is found later;
 * - a crash between tombstone and COMMIT, or between COMMIT and clear, leaves tombstones: the database is read until they
 *   expire, which is later than the transaction can end;
 * - a tombstone that was lost before it was cleared (eviction) makes the clear remove whatever was stored since;
 * - a reader that finds a lease of its own container may answer with what that load reads: the lease holds, so no write
 *   has been answered since it was granted;
 * - a container that does not know of a move yet reads keys of a former epoch. So a write also removes its keys of the two
 *   epochs before its own; nothing is stored there any more, because the database refuses them. Two suffice: a container
 *   looks a tenant up every two seconds, no move takes less, and values of an older epoch have expired.
 * - a restore replaces rows without a write that names them, and writes after a move to another region go to another cache.
 *   So such a hop closes its former place, and the two before it, before its COMMIT: a tombstone on the place's own key,
 *   which every read checks beside its value's key. In a closed place nothing is found or stored. The tombstone outlives
 *   the values that are there, and after the COMMIT nothing is stored any more, because the database refuses the epoch.
 *   Before its end is reported, the hop closes the place again, or waits until its values have expired.
 * While the server does not answer, it is bypassed. A write then leaves its keys as they are, and its container owes their
 * removal: it removes them before it uses the cache again. Until then other containers may find older values, which live
 * for VALUE_MS at most.
 *
 * L1 has values with their versions. Each read asks L2 whether the version is the current one; without L2's answer, L1 is
 * not used.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { CacheScript, CacheServer } from '../aws/cache-server.ts';
import { CommitUnknown } from '../database/errors.ts';
import type { AttemptPlace, AttemptWatch, CachedData, CachedSource } from '../placement/cached-data.ts';
import { type CacheKey, cacheKey, cacheNames } from './cache-key.ts';
import { CLEAR, IS_CLOSED, READ, RELEASE, STORE, TOMBSTONE } from './cache-scripts.ts';

/** Durations in milliseconds. */
export interface CacheTimes {
  /** How long a value is used after its lease was granted: the bound of staleness while the server does not answer. */
  readonly valueMs: number;
  /** How long a read of the database may take that stores its result. */
  readonly leaseMs: number;
  /**
   * A request ends after 29 seconds at the latest, and a transaction that it left behind after 30 more (the roles'
   * `transaction_timeout`). A cut-over, which closes its place, takes a minute at most.
   */
  readonly tombstoneMs: number;
  /** How long a read waits for another container's. */
  readonly waitMs: number;
  /** How long a write waits for the server: longer than a read, because another container may reach it. */
  readonly writeLimitMs: number;
  /** How long the close of a place waits for the server: no request waits for it, and it may have to connect first. */
  readonly closeLimitMs: number;
}

export const CACHE_TIMES: CacheTimes = {
  valueMs: 30_000,
  leaseMs: 10_000,
  tombstoneMs: 75_000,
  waitMs: 150,
  writeLimitMs: 250,
  closeLimitMs: 5_000,
};

/** Larger values are not cached, in characters of JSON. */
const MAX_VALUE = 128 * 1024;
/** Values in the memory of a container. */
const MAX_IN_MEMORY = 200;
const POLL_MS = 10;
const FORMER_EPOCHS = 2;

type PlaceOfTenant = Pick<AttemptPlace, 'tenantId' | 'epoch'>;

/** The places of before, as far as values of them can be left and a container may not know that the tenant left them. */
function formerPlaces({ tenantId, epoch }: PlaceOfTenant): PlaceOfTenant[] {
  const oldest = Math.max(1, epoch - FORMER_EPOCHS);
  return Array.from({ length: epoch - oldest }, (_, index) => ({ tenantId, epoch: oldest + index }));
}

interface InMemory {
  readonly version: string;
  readonly value: unknown;
}

export class TenantCache implements CachedData {
  readonly #server: CacheServer;
  readonly #times: CacheTimes;
  /** The reads of this container that have a lease, by its token and their shape. */
  readonly #loads = new Map<string, Promise<unknown>>();
  readonly #memory = new LRUCache<string, InMemory>({ max: MAX_IN_MEMORY });
  /** Keys of writes whose clear was not answered, with the time at which no older value is left in them; oldest first. */
  readonly #owed = new Map<CacheKey, number>();
  #paying: Promise<void> | undefined;

  constructor(server: CacheServer, times: Partial<CacheTimes> = {}) {
    this.#server = server;
    this.#times = { ...CACHE_TIMES, ...times };
  }

  /**
   * Ends the use of what is cached of the tenant under that epoch and those before. While a place is closed, reads go to the
   * database.
   * @param token of the attempt that closes it; to close it again is harmless.
   * @returns false when the server has not answered: some values may be used until {@link valueMs} later.
   */
  async close(place: PlaceOfTenant, token: string): Promise<boolean> {
    const { tombstoneMs, closeLimitMs } = this.#times;
    const calls = [place, ...formerPlaces(place)].map((each) => ({
      script: TOMBSTONE,
      key: cacheKey(each, cacheNames.place),
      parameters: [token, tombstoneMs],
    }));
    return (await this.#server.runTogether(calls, closeLimitMs)) !== undefined;
  }

  /** How long a value is used at most, in milliseconds. */
  get valueMs(): number {
    return this.#times.valueMs;
  }

  async read<Value>(place: AttemptPlace, source: CachedSource<Value>): Promise<Value> {
    if (this.#owed.size > 0) await this.#payOwed();
    if (this.#owed.size > 0) return source.load();
    const key = cacheKey(place, source.name);
    const shape = `${source.shape} ${place.schemaVersion ?? ''}`;
    const own = `${key} ${shape}`;
    const deadline = performance.now() + this.#times.waitMs;
    for (;;) {
      const token = randomUUID();
      const known = source.inMemory ? this.#memory.get(own) : undefined;
      const [isClosed, answer] =
        (await this.#server.runTogether([
          { script: IS_CLOSED, key: cacheKey(place, cacheNames.place), parameters: [] },
          { script: READ, key, parameters: [token, this.#times.leaseMs, shape, known?.version ?? ''] },
        ])) ?? [];
      const [state, text, version] = (answer ?? []) as string[];
      if (isClosed !== 0) {
        // Closed, or without an answer.
        if (state === 'lease') await this.#server.run(RELEASE, key, [token]);
        return source.load();
      }
      if (state === 'known' && known) return known.value as Value;
      if (state === 'hit') {
        const json = JSON.parse(text as string);
        const value = source.decode ? source.decode(json) : (json as Value);
        if (source.inMemory) this.#memory.set(own, { version: version as string, value });
        return value;
      }
      if (state === 'lease') return this.#load({ place, key, shape, token }, source);
      // Without an answer, or while the value is being written.
      if (state !== 'leased') return source.load();
      const load = this.#loads.get(`${text} ${shape}`) as Promise<Value> | undefined;
      // Its error is its own: this read finds out for itself.
      if (load) return load.catch(() => source.load());
      if (performance.now() > deadline) return source.load();
      await delay(POLL_MS * (0.5 + Math.random()));
    }
  }

  async change<Result>(
    names: ReadonlySet<string>,
    work: (watch: AttemptWatch) => Promise<Result>,
  ): Promise<Result> {
    const token = randomUUID();
    const { tombstoneMs, writeLimitMs } = this.#times;
    const touched = new Set<CacheKey>();
    const run = (script: CacheScript, keys: readonly CacheKey[], parameters: readonly (string | number)[]) =>
      this.#server.runTogether(
        keys.map((key) => ({ script, key, parameters })),
        writeLimitMs,
      );
    let isSettled = true;
    try {
      return await work({
        beforeCommit: async (place) => {
          const keys = [...names].map((name) => cacheKey(place, name));
          for (const key of keys) touched.add(key);
          // A clear without a tombstone removes what is there.
          for (const former of formerPlaces(place))
            for (const name of names) touched.add(cacheKey(former, name));
          await run(TOMBSTONE, keys, [token, tombstoneMs]);
        },
      });
    } catch (error) {
      // It may be committed later: the tombstones stay until it cannot be any more.
      isSettled = !(error instanceof CommitUnknown);
      throw error;
    } finally {
      if (isSettled) {
        const keys = [...touched];
        if (!(await run(CLEAR, keys, [token]))) this.#owe(keys);
      }
    }
  }

  #owe(keys: readonly CacheKey[]): void {
    const now = performance.now();
    for (const key of keys) {
      this.#owed.delete(key);
      this.#owed.set(key, now + this.#times.valueMs);
    }
    // Where nothing is read, nothing else drops what is over.
    for (const [key, until] of this.#owed) {
      if (until > now) break;
      this.#owed.delete(key);
    }
  }

  /** Removes what is owed, as far as the server answers; one attempt at a time. */
  #payOwed(): Promise<void> {
    this.#paying ??= this.#removeOwed().finally(() => {
      this.#paying = undefined;
    });
    return this.#paying;
  }

  async #removeOwed(): Promise<void> {
    await Promise.all(
      [...this.#owed].map(async ([key, until]) => {
        const isOver = performance.now() > until;
        // No write has this token: the script removes what is there.
        if (!isOver && !(await this.#server.run(CLEAR, key, [randomUUID()]))) return;
        // A later write may owe the key again.
        if (this.#owed.get(key) === until) this.#owed.delete(key);
      }),
    );
  }

  #load<Value>(
    lease: { place: AttemptPlace; key: CacheKey; shape: string; token: string },
    source: CachedSource<Value>,
  ): Promise<Value> {
    const load = this.#loadAndStore(lease, source);
    const name = `${lease.token} ${lease.shape}`;
    this.#loads.set(name, load);
    const forget = () => this.#loads.delete(name);
    load.then(forget, forget);
    return load;
  }

  async #loadAndStore<Value>(
    { place, key, shape, token }: { place: AttemptPlace; key: CacheKey; shape: string; token: string },
    source: CachedSource<Value>,
  ): Promise<Value> {
    let readAt: AttemptPlace | undefined;
    const watch: AttemptWatch = {
      beforeCommit(attempted) {
        readAt = attempted;
      },
    };
    let value: Value;
    try {
      value = await source.load(watch);
    } catch (error) {
      await this.#server.run(RELEASE, key, [token]);
      throw error;
    }
    const text = JSON.stringify(source.encode ? source.encode(value) : value);
    // The tenant may have moved, or its tables may have been upgraded, since this container looked it up.
    const isOfPlace = readAt?.epoch === place.epoch && readAt.schemaVersion === place.schemaVersion;
    if (!isOfPlace || text.length > MAX_VALUE) {
      await this.#server.run(RELEASE, key, [token]);
      return value;
    }
    // The token names the version: no other value is ever stored under it.
    const answer = await this.#server.run(STORE, key, [token, text, token, shape, this.#times.valueMs]);
    const isStored = answer?.value === 1;
    if (isStored && source.inMemory) this.#memory.set(`${key} ${shape}`, { version: token, value });
    return value;
  }
}
