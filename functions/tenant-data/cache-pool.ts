import { createHash } from 'node:crypto';
import { type CacheAddress, CacheServer } from '../aws/cache-server.ts';
import { secretText } from '../aws/secrets.ts';
import { cellSecretName } from '../contracts/names.ts';
import { TenantCache } from './tenant-cache.ts';

/** A server with the cache on it. */
export interface PooledCache {
  readonly server: CacheServer;
  readonly cache: TenantCache;
}

/**
 * The caches of a region: each cell has one. A tenant's cache is chosen by its id and not by its cell, so that the tenant
 * keeps it when it moves to another cell or to a database of its own: a container that does not know of the move yet
 * uses the same server. (Rendezvous hashing: a further cache takes over an equal share of each one's tenants.)
 */
export class CachePool {
  readonly #caches: ReadonlyMap<string, PooledCache>;

  /** @param servers by the id of their cell; at least one. */
  constructor(servers: ReadonlyMap<string, CacheServer>) {
    this.#caches = new Map(
      [...servers].map(([cellId, server]) => [cellId, { server, cache: new TenantCache(server) }] as const),
    );
  }

  of(tenantId: string): PooledCache {
    let best = '';
    let chosen: PooledCache | undefined;
    for (const [cellId, cache] of this.#caches) {
      const weight = this.#caches.size === 1 ? '' : weightOf(cellId, tenantId);
      if (chosen === undefined || weight > best) [best, chosen] = [weight, cache];
    }
    if (!chosen) throw new Error('there is no cache');
    return chosen;
  }
}

const weightOf = (cellId: string, tenantId: string): string =>
  createHash('sha256').update(`${cellId} ${tenantId}`).digest('hex');

/** @param cellIds as the environment variable CACHES has them, separated by commas. */
export function cachePoolOf(cellIds: string): CachePool {
  const servers = cellIds
    .split(',')
    .map((cellId) => [cellId, new CacheServer({ address: () => addressOf(cellId) })] as const);
  return new CachePool(new Map(servers));
}

/** @throws Secrets Manager's own error. */
async function addressOf(cellId: string): Promise<CacheAddress> {
  const [login, address] = await Promise.all([
    secretText(cellSecretName(cellId, 'cache'), undefined),
    secretText(cellSecretName(cellId, 'cache-address'), undefined),
  ]);
  const { username, password } = JSON.parse(login ?? '{}') as Partial<CacheAddress>;
  const { host, port } = JSON.parse(address ?? '{}') as Partial<CacheAddress>;
  if (!username || !password || !host || !port) throw new Error('the secrets of the cache are incomplete');
  return { host, port: Number(port), username, password };
}
