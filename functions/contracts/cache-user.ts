/** The only user of a cache. */
export const CACHE_USER = 'strata';

/** What it may do, in the form of `ACL SETUSER`: run scripts, with what they call, on keys of tenants. */
export const CACHE_ACCESS =
  'on ~tenant:* resetchannels -@all +eval +evalsha +hgetall +hget +hset +hmget +hdel +del +pexpire +time +ping';
