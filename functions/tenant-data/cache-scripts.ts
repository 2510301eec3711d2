/**
 * The scripts of `tenant-cache.ts`, whose states they implement. A key's hash has the fields of one state only:
 *
 *   value       v (JSON text), n (version), s (shape)
 *   leased      l (token), g (when it was granted)
 *   tombstones  w:<token> (until when), one for each write
 *
 * Times are the server's, in milliseconds: clocks of containers differ. A key expires with its state.
 */
import { cacheScript } from '../aws/cache-server.ts';

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * Reads a value, or grants a lease to the reader.
 * ARGV: token, duration of a lease (ms), shape, known version.
 * Answers `hit`, value, version; or `known`: the version is the known one; or `lease`; or `leased` and the
 * token of the reader that has it; or `writing`.
 */
export const READ = cacheScript(`${NOW}
local entry = redis.call('HGETALL', KEYS[1])
local fields = {}
for i = 1, #entry, 2 do
  if string.sub(entry[i], 1, 2) == 'w:' then
    if tonumber(entry[i + 1]) > now then return {'writing'} end
  else
    fields[entry[i]] = entry[i + 1]
  end
end
if fields.v and fields.s == ARGV[3] then
  if fields.n == ARGV[4] then return {'known'} end
  return {'hit', fields.v, fields.n}
end
if fields.l then return {'leased', fields.l} end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'l', ARGV[1], 'g', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'lease'}
`);

/**
 * Stores a value if the lease still holds. It is kept for a time since the lease was granted, which is before it was read.
 * ARGV: token of the lease, value, version, shape, time (ms). Answers 1 when the value is stored.
 */
export const STORE = cacheScript(`${NOW}
if redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
local left = tonumber(ARGV[5]) - (now - tonumber(redis.call('HGET', KEYS[1], 'g')))
redis.call('DEL', KEYS[1])
if left < 1 then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'n', ARGV[3], 's', ARGV[4])
redis.call('PEXPIRE', KEYS[1], left)
return 1
`);

/** Gives a lease back without a value. ARGV: token. */
export const RELEASE = cacheScript(`
if redis.call('HGET', KEYS[1], 'l') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
`);

/** Answers 1 when the place of that key is closed, otherwise 0. The key has tombstones only, and expires with the last. */
export const IS_CLOSED = cacheScript(`
if #redis.call('HGETALL', KEYS[1]) > 0 then return 1 end
return 0
`);

/** Removes value and lease until the write has cleared its tombstone. ARGV: token of the write, duration (ms). */
export const TOMBSTONE = cacheScript(`${NOW}
redis.call('HDEL', KEYS[1], 'v', 'n', 's', 'l', 'g')
redis.call('HSET', KEYS[1], 'w:' .. ARGV[1], string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`);

/**
 * Removes the tombstone of a write. When it is gone already (evicted, expired, or it never arrived), a reader may have
 * stored what was there before the write, or be about to: value and lease are removed too. ARGV: token of the write.
 */
export const CLEAR = cacheScript(`
if redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1]) == 0 then
  redis.call('HDEL', KEYS[1], 'v', 'n', 's', 'l', 'g')
end
return 1
`);
