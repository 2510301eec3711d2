/** As safe as production's: an acknowledged write survives a loss of power. */
export const durable = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' } as const;

/** That, and room for a gigabyte of rows. The same for whoever is compared. */
export const sized = {
  ...durable,
  wal_level: 'logical',
  shared_buffers: '1GB',
  maintenance_work_mem: '256MB',
  // A move or a restore is not the moment to meet a checkpoint; one is made before each of them.
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  // A server that has run for a while writes into log files that it has had before; new ones are filled with zeros first.
  min_wal_size: '4GB',
} as const;
