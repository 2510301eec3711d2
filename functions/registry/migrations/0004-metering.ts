/**
 * Registry schema version 4: further figures of a tenant's usage. A figure is null when it could not be measured or was
 * not measured yet.
 *
 * - `user_count`: employees of any status; `active_employees` are those that tier rules use.
 * - `assessment_count`: assessment results.
 * - `database_size_bytes`: the tenant's whole database. `storage_bytes` is the tenant's own part.
 */
export const meteringColumns: readonly string[] = [
  `ALTER TABLE usage_samples
     ADD COLUMN user_count integer CHECK (user_count >= 0),
     ADD COLUMN assessment_count bigint CHECK (assessment_count >= 0),
     ADD COLUMN database_size_bytes bigint CHECK (database_size_bytes >= 0)`,
  // The daily run reads the moves of every tenant: the one that ended last decides its cool-down.
  'CREATE INDEX idx_tenant_moves_finished ON tenant_moves (tenant_id, finished_at)',
  `CREATE INDEX idx_tenant_offers_unnotified ON tenant_offers (created_at)
   WHERE status = 'open' AND notified_at IS NULL`,
];
