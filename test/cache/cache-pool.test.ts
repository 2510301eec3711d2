import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { CacheServer } from '../../functions/aws/cache-server.ts';
import { CachePool } from '../../functions/tenant-data/cache-pool.ts';

const address = () => Promise.reject(new Error('it is never used'));
const servers = new Map(['us-1', 'us-2', 'us-3'].map((id) => [id, new CacheServer({ address })] as const));
const poolOf = (...ids: string[]) =>
  new CachePool(new Map(ids.map((id) => [id, servers.get(id) as CacheServer] as const)));

test('every container chooses the same cache for a tenant, and tenants are spread', () => {
  const [one, other] = [poolOf('us-1', 'us-2', 'us-3'), poolOf('us-3', 'us-1', 'us-2')];
  const counts = new Map<CacheServer, number>();
  for (let n = 0; n < 600; n++) {
    const tenantId = randomUUID();
    const { server } = one.of(tenantId);
    expect(other.of(tenantId).server).toBe(server);
    counts.set(server, (counts.get(server) ?? 0) + 1);
  }
  expect(counts.size).toBe(3);
  expect(Math.min(...counts.values())).toBeGreaterThan(100);
});

test('a further cache takes tenants over, and moves none between the others', () => {
  const [before, after] = [poolOf('us-1', 'us-2'), poolOf('us-1', 'us-2', 'us-3')];
  for (let n = 0; n < 200; n++) {
    const tenantId = randomUUID();
    const { server } = after.of(tenantId);
    if (server !== servers.get('us-3')) expect(before.of(tenantId).server).toBe(server);
  }
});
