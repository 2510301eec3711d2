/** The protocol of tenant-cache.ts, on a real server, with values that a test decides about. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CommitUnknown } from '../../functions/database/errors.ts';
import type { AttemptPlace, CachedSource } from '../../functions/placement/cached-data.ts';
import { cacheKey, cacheNames } from '../../functions/tenant-data/cache-key.ts';
import { type CacheTimes, TenantCache } from '../../functions/tenant-data/tenant-cache.ts';
import { TestValkey, valkeyInstalled } from './test-valkey.ts';

const NAME = cacheNames.skillsList;
const names = new Set<string>([NAME]);

let valkey: TestValkey;
let place: AttemptPlace;
beforeAll(async () => {
  if (!valkeyInstalled) return;
  valkey = await TestValkey.start();
  valkey.trust();
});
afterAll(() => valkey?.stop());
beforeEach(() => {
  place = { tenantId: randomUUID(), epoch: 1, schemaVersion: 6 };
});

/** The value that the database has; `loads` counts the reads of it. */
class Row {
  value = 0;
  loads = 0;
  at: AttemptPlace | undefined;

  source(more: Partial<CachedSource<number>> = {}): CachedSource<number> {
    return {
      name: NAME,
      shape: 'a number',
      load: async (watch) => {
        this.loads += 1;
        await watch?.beforeCommit(this.at ?? place);
        return this.value;
      },
      ...more,
    };
  }

  /** Opens `read` when it has read the value, and answers with that when `answer` is opened. */
  slowSource(read: Gate, answer: Gate): CachedSource<number> {
    return this.source({
      load: async (watch) => {
        await watch?.beforeCommit(place);
        const seen = this.value;
        read.open();
        await answer.opened;
        return seen;
      },
    });
  }
}

const container = (times: Partial<CacheTimes> = {}) =>
  new TenantCache(valkey.server(), { writeLimitMs: 5_000, waitMs: 5_000, ...times });

/** Writes the next value. @param before COMMIT, @param after it; either may fail. */
function write(
  cache: TenantCache,
  row: Row,
  { before, after }: { before?: () => Promise<void> | void; after?: () => Promise<void> | void } = {},
): Promise<void> {
  return cache.change(names, async (watch) => {
    await watch.beforeCommit(place);
    await before?.();
    row.value += 1;
    await after?.();
  });
}

/** A promise, and what resolves it. */
interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

describe.skipIf(!valkeyInstalled)('a cached value', () => {
  test('is read once, by whichever container, under a key with tenant and epoch', async () => {
    const row = new Row();
    const [one, other] = [container(), container()];
    expect([await one.read(place, row.source()), await other.read(place, row.source())]).toEqual([0, 0]);
    expect(row.loads).toBe(1);
    expect(await valkey.keys()).toContain(`tenant:${place.tenantId}:skills:list:e1`);
  });

  test('is not another tenant’s, nor another epoch’s', async () => {
    const row = new Row();
    const cache = container();
    await cache.read(place, row.source());
    row.value = 7;
    const others = [
      { ...place, tenantId: randomUUID() },
      { ...place, epoch: 2 },
    ];
    for (const other of others) {
      row.at = other;
      expect(await cache.read(other, row.source())).toBe(7);
    }
  });

  test('of another form or version of the tables is not used', async () => {
    const row = new Row();
    const cache = container();
    await cache.read(place, row.source());
    await cache.read(place, row.source({ shape: 'another' }));
    row.at = { ...place, schemaVersion: 7 };
    await cache.read(row.at, row.source());
    expect(row.loads).toBe(3);
  });

  test('has the last write when that has been answered', async () => {
    const row = new Row();
    const [one, other] = [container(), container()];
    await one.read(place, row.source());
    await write(other, row);
    expect(await one.read(place, row.source())).toBe(1);
    expect(await one.read(place, row.source())).toBe(1);
    expect(row.loads).toBe(2);
  });

  test('of an unchanged list comes from memory, and only after the server has confirmed it', async () => {
    const row = new Row();
    const [one, other] = [container(), container()];
    const source = row.source({ inMemory: true });
    await one.read(place, source);
    await one.read(place, source);
    await write(other, row);
    expect(await one.read(place, source)).toBe(1);
    expect(row.loads).toBe(2);
  });

  test('expires, counted from its lease', async () => {
    const row = new Row();
    const cache = container({ valueMs: 200 });
    await cache.read(place, row.source());
    row.value = 1;
    await expect.poll(() => cache.read(place, row.source())).toBe(1);
  });

  test('of a place that the tenant has left is not stored', async () => {
    const row = new Row();
    row.at = { ...place, epoch: 2 };
    const cache = container();
    await cache.read(place, row.source());
    await cache.read(place, row.source());
    expect(row.loads).toBe(2);
  });

  test('is read once when many want it at the same time', async () => {
    const row = new Row();
    const loading = gate();
    const cache = container();
    const source = row.source();
    const slow = {
      ...source,
      load: async (watch: never) => {
        await loading.opened;
        return source.load(watch);
      },
    };
    const reads = Array.from({ length: 50 }, () => cache.read(place, slow));
    await expect.poll(() => valkey.inspector.hget(cacheKey(place, NAME), 'l')).not.toBeNull();
    loading.open();
    expect(new Set(await Promise.all(reads))).toEqual(new Set([0]));
    expect(row.loads).toBe(1);
  });

  test('that cannot be read is an error of each reader, and leaves no lease', async () => {
    const cache = container();
    const failing = { ...new Row().source(), load: () => Promise.reject(new Error('no such thing')) };
    const reads = Array.from({ length: 3 }, () => cache.read(place, failing));
    for (const { status } of await Promise.allSettled(reads)) expect(status).toBe('rejected');
    expect(await valkey.inspector.exists(cacheKey(place, NAME))).toBe(0);
  });
});

describe.skipIf(!valkeyInstalled)('a reader that is slower than a write', () => {
  test('stores nothing', async () => {
    const row = new Row();
    const [slow, writer] = [container(), container()];
    const read = gate();
    const written = gate();
    const reading = slow.read(place, row.slowSource(read, written));
    await read.opened;
    await write(writer, row);
    written.open();
    expect(await reading).toBe(0);
    expect(await writer.read(place, row.source())).toBe(1);
    expect(await slow.read(place, row.source())).toBe(1);
  });

  test('answers only readers that came before the write', async () => {
    const row = new Row();
    const [cache, writer] = [container(), container()];
    const read = gate();
    const written = gate();
    const slow: CachedSource<number> = row.slowSource(read, written);
    const first = cache.read(place, slow);
    await read.opened;
    await write(writer, row);
    // The write has been answered: this read of the same container must not share what the first one has seen.
    const second = cache.read(place, row.source());
    written.open();
    expect([await first, await second]).toEqual([0, 1]);
  });
});

describe.skipIf(!valkeyInstalled)('a write that ends early', () => {
  test('between its tombstone and COMMIT leaves no value until the tombstone expires', async () => {
    const row = new Row();
    const [reader, writer] = [container(), container({ tombstoneMs: 500 })];
    await reader.read(place, row.source());
    // The container is gone: nothing is cleared.
    const crash = write(writer, row, {
      before: () => {
        throw new CommitUnknown('the container ends');
      },
    });
    await expect(crash).rejects.toThrow(CommitUnknown);
    await reader.read(place, row.source());
    // The database commits later than the container has ended.
    row.value = 5;
    expect(await reader.read(place, row.source())).toBe(5);
    await expect.poll(() => valkey.inspector.exists(cacheKey(place, NAME))).toBe(0);
    expect(await reader.read(place, row.source())).toBe(5);
    const { loads } = row;
    await reader.read(place, row.source());
    expect(row.loads).toBe(loads);
  });

  test('between COMMIT and clear leaves no older value', async () => {
    const row = new Row();
    const [reader, writer] = [container(), container()];
    await reader.read(place, row.source());
    const crash = write(writer, row, {
      after: () => {
        throw new CommitUnknown('the container ends');
      },
    });
    await expect(crash).rejects.toThrow(CommitUnknown);
    expect(await reader.read(place, row.source())).toBe(1);
    expect(await reader.read(place, row.source())).toBe(1);
  });

  test('before COMMIT, by an error of its own, leaves the key usable', async () => {
    const row = new Row();
    const cache = container();
    const refused = write(cache, row, {
      before: () => {
        throw new Error('refused');
      },
    });
    await expect(refused).rejects.toThrow('refused');
    await cache.read(place, row.source());
    await cache.read(place, row.source());
    expect(row.loads).toBe(1);
  });
});

describe.skipIf(!valkeyInstalled)('tombstones', () => {
  test('of two writes are independent: the end of one leaves the other’s', async () => {
    const row = new Row();
    const [one, other] = [container(), container()];
    const isSet = gate();
    const committing = gate();
    const long = write(one, row, {
      before: async () => {
        isSet.open();
        await committing.opened;
      },
    });
    await isSet.opened;
    await write(other, row);
    // Still one write: this is neither stored, nor wrong later.
    expect(await other.read(place, row.source())).toBe(1);
    committing.open();
    await long;
    expect(await other.read(place, row.source())).toBe(2);
  });

  test('that were evicted make the write remove what was stored meanwhile', async () => {
    const row = new Row();
    const [reader, writer] = [container(), container()];
    await write(writer, row, {
      before: async () => {
        await valkey.inspector.flushall();
        expect(await reader.read(place, row.source())).toBe(0);
      },
    });
    expect(await reader.read(place, row.source())).toBe(1);
  });

  test('that were evicted make the write void a lease that was granted meanwhile', async () => {
    const row = new Row();
    const [reader, writer] = [container(), container()];
    const read = gate();
    const written = gate();
    let reading: Promise<number> | undefined;
    await write(writer, row, {
      before: async () => {
        await valkey.inspector.flushall();
        reading = reader.read(place, row.slowSource(read, written));
        await read.opened;
      },
    });
    written.open();
    expect(await reading).toBe(0);
    expect(await reader.read(place, row.source())).toBe(1);
  });

  test('after a move reach a container that does not know of it', async () => {
    const row = new Row();
    const [late, mover] = [container(), container()];
    const former = place;
    await late.read(former, row.source());
    place = { ...former, epoch: 2 };
    await write(mover, row);
    // The database would refuse the former epoch and name the new one, as `at` does here.
    expect(await late.read(former, row.source())).toBe(1);
    expect(await late.read(former, row.source())).toBe(1);
    expect(row.loads).toBe(3);
  });
});

describe.skipIf(!valkeyInstalled)('a place that is closed', () => {
  test('has no value for a container that still uses it, and stores none', async () => {
    const row = new Row();
    const [late, mover] = [container(), container()];
    const source = row.source({ inMemory: true });
    await late.read(place, source);
    expect(await mover.close(place, randomUUID())).toBe(true);
    row.value = 5;
    expect([await late.read(place, source), await late.read(place, row.source())]).toEqual([5, 5]);
    await valkey.inspector.del(cacheKey(place, NAME));
    row.value = 6;
    expect(await late.read(place, source)).toBe(6);
    row.value = 7;
    expect(await late.read(place, source)).toBe(7);
    expect(await valkey.inspector.exists(cacheKey(place, NAME))).toBe(0);
  });

  test('keeps what a slower reader stores from being found', async () => {
    const row = new Row();
    const [slow, other] = [container(), container()];
    const read = gate();
    const closed = gate();
    const reading = slow.read(place, row.slowSource(read, closed));
    await read.opened;
    await other.close(place, randomUUID());
    row.value = 5;
    closed.open();
    expect(await reading).toBe(0);
    expect([await slow.read(place, row.source()), await other.read(place, row.source())]).toEqual([5, 5]);
  });

  test('is closed together with those before it', async () => {
    const row = new Row();
    const cache = container();
    await cache.read(place, row.source());
    await cache.close({ ...place, epoch: 3 }, randomUUID());
    row.value = 5;
    expect(await cache.read(place, row.source())).toBe(5);
  });

  test('is closed for its own tenant only, and not for the place after it', async () => {
    const row = new Row();
    const cache = container();
    const others = [
      { ...place, tenantId: randomUUID() },
      { ...place, epoch: 2 },
    ];
    for (const other of others) {
      row.at = other;
      await cache.read(other, row.source());
    }
    await cache.close(place, randomUUID());
    row.value = 5;
    for (const other of others) expect(await cache.read(other, row.source())).toBe(0);
  });

  test('opens again by itself, where the commit did not happen', async () => {
    const row = new Row();
    const cache = container({ tombstoneMs: 300 });
    await cache.close(place, randomUUID());
    await expect
      .poll(async () => {
        const before = row.loads;
        await cache.read(place, row.source());
        return row.loads - before;
      })
      .toBe(0);
  });

  test('is not reported as closed without an answer of the server', async () => {
    const relay = await valkey.relay();
    relay.close();
    const unreachable = new TenantCache(valkey.server({ port: relay.port }), { closeLimitMs: 5_000 });
    expect(await unreachable.close(place, randomUUID())).toBe(false);
  });
});

describe.skipIf(!valkeyInstalled)('a server that does not answer', () => {
  test('is bypassed at once after a few tries, and used again when it is back', async () => {
    const row = new Row();
    const relay = await valkey.relay();
    const { port } = relay;
    const cache = new TenantCache(valkey.server({ port, pauseMs: 50 }), { writeLimitMs: 5_000 });
    await cache.read(place, row.source());
    relay.close();
    for (let n = 0; n < 20; n++) expect(await cache.read(place, row.source())).toBe(0);
    await write(cache, row);
    expect(await cache.read(place, row.source())).toBe(1);
    const again = await valkey.relay(port);
    // A value of before the outage may be there: it lives for its time at most.
    await valkey.inspector.flushall();
    await expect
      .poll(async () => {
        const before = row.loads;
        await cache.read(place, row.source());
        return row.loads - before;
      })
      .toBe(0);
    again.close();
  });

  test('gets back without what a container has changed meanwhile', async () => {
    const row = new Row();
    const relay = await valkey.relay();
    const { port } = relay;
    const options = { port, pauseMs: 20 };
    const [writer, reader] = [new TenantCache(valkey.server(options), { writeLimitMs: 5_000 }), container()];
    await writer.read(place, row.source());
    relay.close();
    await write(writer, row);
    // The server has the older value, and another container still finds it.
    expect(await reader.read(place, row.source())).toBe(0);
    const again = await valkey.relay(port);
    await expect
      .poll(async () => {
        expect(await writer.read(place, row.source())).toBe(1);
        return valkey.inspector.hget(cacheKey(place, NAME), 'v');
      })
      .toBe('1');
    expect(await reader.read(place, row.source())).toBe(1);
    again.close();
  });

  test('costs a request a bounded time', async () => {
    const hanging = valkey.server({ limitMs: 50, pauseMs: 60_000, address: () => new Promise(() => {}) });
    const cache = new TenantCache(hanging);
    const row = new Row();
    const begun = performance.now();
    await cache.read(place, row.source());
    // Generous, for a busy machine; without the bound it would never end.
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});

test('a key cannot be built without a tenant and an epoch', () => {
  const tenantId = randomUUID();
  expect(cacheKey({ tenantId, epoch: 3 }, cacheNames.team(tenantId))).toBe(
    `tenant:${tenantId}:team:${tenantId}:e3`,
  );
  for (const wrong of [
    { tenantId: '', epoch: 1 },
    { tenantId: `${tenantId}:x`, epoch: 1 },
    { tenantId: '*', epoch: 1 },
    { tenantId, epoch: 0 },
    { tenantId, epoch: Number.NaN },
    { tenantId, epoch: 1.5 },
  ]) {
    expect(() => cacheKey(wrong, cacheNames.skillsList)).toThrow(TypeError);
  }
  for (const id of [undefined, '', '*', tenantId.toUpperCase(), `${tenantId}:e9`]) {
    expect(() => cacheNames.employee(id)).toThrow(TypeError);
  }
});
