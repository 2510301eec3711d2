/**
 * Registry schema version 4: what the strategy's "tenant resource usage" counts besides what version 2 has. A figure
 * is null where it could not be had, or was not measured yet.
 *
 * - `user_count`: employees in whatever status, as the strategy counts them; `active_employees` is the part that
 *   tiers are decided upon.
 * - `assessment_count`: assessment results.
 * - `database_size_bytes`: the whole database that the tenant lives in. `storage_bytes` is the tenant's own part.
 */
export const meteringColumns: readonly string[] = [
  `ALTER TABLE usage_samples
     ADD COLUMN user_count integer CHECK (user_count >= 0),
     ADD COLUMN assessment_count bigint CHECK (assessment_count >= 0),
     ADD COLUMN database_size_bytes bigint CHECK (database_size_bytes >= 0)`,
  // The daily run walks through the moves of every tenant: the latest that ended decides about its cool-down.
  'CREATE INDEX idx_tenant_moves_finished ON tenant_moves (tenant_id, finished_at)',
  `CREATE INDEX idx_tenant_offers_unnotified ON tenant_offers (created_at)
   WHERE status = 'open' AND notified_at IS NULL`,
];
