/**
 * Registry schema version 10: restores to a point in time.
 *
 * Such a restore first makes a backup of the tenant as it was then: `restore_id` names the restore. It reads a copy of
 * the cluster, so it neither waits for the daily backup nor stands for it: only other backups exclude each other.
 * `arrived_at` says since when the tenant is in its present cluster: earlier times cannot be restored from it.
 */
export const pointInTimeColumns: readonly string[] = [
  'ALTER TABLE tenant_backups ADD COLUMN restore_id uuid',
  'DROP INDEX one_running_backup',
  `CREATE UNIQUE INDEX one_running_backup ON tenant_backups (tenant_id)
     WHERE status = 'running' AND restore_id IS NULL`,
  `CREATE UNIQUE INDEX one_backup_of_restore ON tenant_backups (restore_id)
     WHERE status IN ('running', 'succeeded')`,
  'ALTER TABLE tenant_database_routing ADD COLUMN arrived_at timestamptz NOT NULL DEFAULT now()',
  'UPDATE tenant_database_routing SET arrived_at = updated_at',
];
