/**
 * Registry schema version 3: the names of a hop's objects end in its `suffix`, and unique indexes prevent that two
 * attempts meet: no second open hop of a tenant, and no name that was used before.
 */
export const moveNames: readonly string[] = [
  // Nothing wrote hops before this version.
  'ALTER TABLE tenant_move_hops ADD COLUMN suffix text NOT NULL',
  'CREATE UNIQUE INDEX one_name_per_attempt ON tenant_move_hops (tenant_id, suffix)',
  `CREATE UNIQUE INDEX one_open_hop ON tenant_move_hops (tenant_id)
   WHERE state IN ('working', 'committed', 'rolling-back')`,
  'CREATE INDEX idx_tenant_move_hops_cleanup ON tenant_move_hops (cleanup_execution_arn)',
];
