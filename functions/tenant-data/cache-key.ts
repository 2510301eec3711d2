import { isUuid } from '../contracts/tenant.ts';
import type { AttemptPlace } from '../placement/cached-data.ts';

declare const isName: unique symbol;
declare const isKey: unique symbol;

/** What is cached, without the tenant: only `cacheNames` makes one. */
export type CacheName = string & { readonly [isName]: true };

/** A key of the cache: only `cacheKey` makes one, so each has a tenant and the epoch of its place. */
export type CacheKey = string & { readonly [isKey]: true };

/** The names of everything that is cached. @throws {TypeError} for an id that is not a lower-case UUID. */
export const cacheNames = {
  employee: (employeeId: unknown) => `employee:${id(employeeId)}` as CacheName,
  result: (assessmentId: unknown, resultId: unknown) =>
    `assessment:${id(assessmentId)}:result:${id(resultId)}` as CacheName,
  /** No value: it is closed for all other names of the place. */
  place: 'place' as CacheName,
  skillsList: 'skills:list' as CacheName,
  team: (teamId: unknown) => `team:${id(teamId)}` as CacheName,
  teamMembers: (teamId: unknown) => `team:${id(teamId)}:members` as CacheName,
} as const;

/**
 * The key of a tenant's value. A move and a restore increase the epoch, so that no key of the former place is read again.
 * @throws {TypeError}
 */
export function cacheKey(
  { tenantId, epoch }: Pick<AttemptPlace, 'tenantId' | 'epoch'>,
  name: string,
): CacheKey {
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw new TypeError('epoch is not a positive integer');
  return `tenant:${id(tenantId)}:${name}:e${epoch}` as CacheKey;
}

function id(value: unknown): string {
  if (typeof value !== 'string' || !isUuid(value)) throw new TypeError('not a lower-case UUID');
  return value;
}
