/**
 * Refuses sessions without TLS, and keeps what may carry a password or a row's values out of the logs: statement text,
 * parameters, and the DETAIL and CONTEXT of errors (`Key (email)=(…) already exists`).
 */
const everywhere = {
  'rds.force_ssl': '1',
  ssl_min_protocol_version: 'TLSv1.2',
  password_encryption: 'scram-sha-256',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_connections: '0',
  log_lock_waits: '1',
  log_temp_files: '102400',
};

/**
 * Tenant moves replicate one schema from cluster to cluster. Slots are bounded in number and in the WAL they may hold
 * back, so that a forgotten move loses its slot instead of filling the cluster's storage.
 */
const replicating = {
  'rds.logical_replication': '1',
  max_replication_slots: '40',
  max_wal_senders: '40',
  max_logical_replication_workers: '24',
  max_sync_workers_per_subscription: '4',
  max_worker_processes: '48',
  // Megabytes.
  max_slot_wal_keep_size: '16384',
  // Kilobytes of one session: room for the biggest index, not for filling the disk.
  temp_file_limit: '20971520',
};

/** Cluster parameters of the registry, or of a cluster that holds tenants' data. */
export function auroraParameters(purpose: 'registry' | 'data'): Record<string, string> {
  return purpose === 'data' ? { ...everywhere, ...replicating } : { ...everywhere };
}
