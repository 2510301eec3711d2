/** As safe as production's: an acknowledged write survives a loss of power. */
export const durable = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' } as const;
