/**
 * A token bucket for each tenant: it has `burst` tokens at most and gets `rate` of them per second; a request takes one.
 *
 * The bucket is on the tenant's cache server and uses that server's clock, so that all containers count together. When
 * that clock goes back (a failover), the bucket gets no tokens for that time, and none is taken away.
 */
import { type CacheServer, cacheScript } from '../aws/cache-server.ts';
import { isUuid } from '../contracts/tenant.ts';

/** Both are at least 1. */
export interface RequestLimit {
  /** Requests per second. */
  readonly rate: number;
  readonly burst: number;
}

/** What a request finds in the bucket. Times are in milliseconds. */
export interface Bucket {
  readonly isAllowed: boolean;
  /** Whole tokens that are left. */
  readonly remaining: number;
  /** Until a request is allowed again; 0 when tokens are left. */
  readonly nextInMs: number;
  /** Until the bucket is full. */
  readonly fullInMs: number;
}

/** Times are in microseconds of the server. A bucket that would be full is not kept. */
const TAKE = cacheScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(stored[1]) or burst, tonumber(stored[2]) or now
if now > at then tokens = tokens + (now - at) * rate / 1000000 end
tokens = math.min(tokens, burst)
local allowed = 0
if tokens >= 1 then
  allowed = 1
  tokens = tokens - 1
end
local full = math.ceil((burst - tokens) / rate * 1000)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], full + 1000)
local next = 0
if tokens < 1 then next = math.ceil((1 - tokens) / rate * 1000) end
return {allowed, math.floor(tokens), next, full}
`);

/** Takes a token of the tenant. @returns undefined without an answer of the server: nothing is limited then. */
export async function takeToken(
  server: CacheServer,
  tenantId: string,
  { rate, burst }: RequestLimit,
): Promise<Bucket | undefined> {
  if (!isUuid(tenantId)) throw new TypeError('tenantId is not a lower-case UUID');
  const answer = await server.run(TAKE, `tenant:${tenantId}:requests`, [rate, burst]);
  if (!answer) return undefined;
  const [allowed, remaining = 0, nextInMs = 0, fullInMs = 0] = answer.value as number[];
  return { isAllowed: allowed === 1, remaining, nextInMs, fullInMs };
}

/** The headers of draft-ietf-httpapi-ratelimit-headers-06: `RateLimit-Reset` is in seconds from now. */
export function limitHeaders(
  { burst }: RequestLimit,
  { remaining, fullInMs }: Bucket,
): Record<string, string> {
  return {
    'ratelimit-limit': String(burst),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(Math.ceil(fullInMs / 1000)),
  };
}
