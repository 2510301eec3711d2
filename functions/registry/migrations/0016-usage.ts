/**
 * Registry schema version 16: what tenants use by the hour and the day, and the prices by which it is billed.
 *
 * - `usage_hours`: sums of the requests' log lines, of the region in whose log they were. A tenant that has moved to another
 *   region has rows of both.
 * - `usage_days`: their sums, and what else is known by the day only. `acting_users`: users with a request on that day.
 *   `kept_backup_bytes`: of the backups that were kept then.
 * - `usage_aggregations`: the next hour of a region's log that is not final; earlier ones are complete.
 * - `price_tables`: what the deployment has written of prices and of the installation; the latest one applies.
 * - `usage_samples` gets the parts of its storage; rows of older functions do not have them.
 */
const usageHours = `
CREATE TABLE usage_hours (
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
  hour timestamptz NOT NULL,
  region text NOT NULL,
  requests bigint NOT NULL CHECK (requests >= 0),
  errors bigint NOT NULL CHECK (errors >= 0),
  request_ms bigint NOT NULL CHECK (request_ms >= 0),
  database_ms bigint NOT NULL CHECK (database_ms >= 0),
  bytes_in bigint NOT NULL CHECK (bytes_in >= 0),
  bytes_out bigint NOT NULL CHECK (bytes_out >= 0),
  aggregated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, hour, region)
)`;

const usageDays = `
CREATE TABLE usage_days (
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
  day date NOT NULL,
  requests bigint NOT NULL CHECK (requests >= 0),
  errors bigint NOT NULL CHECK (errors >= 0),
  request_ms bigint NOT NULL CHECK (request_ms >= 0),
  database_ms bigint NOT NULL CHECK (database_ms >= 0),
  bytes_in bigint NOT NULL CHECK (bytes_in >= 0),
  bytes_out bigint NOT NULL CHECK (bytes_out >= 0),
  acting_users integer CHECK (acting_users >= 0),
  moved_bytes bigint NOT NULL DEFAULT 0 CHECK (moved_bytes >= 0),
  backed_up_bytes bigint NOT NULL DEFAULT 0 CHECK (backed_up_bytes >= 0),
  kept_backup_bytes bigint NOT NULL DEFAULT 0 CHECK (kept_backup_bytes >= 0),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, day)
)`;

export const usageTables: readonly string[] = [
  usageHours,
  'CREATE INDEX idx_usage_hours_hour ON usage_hours (hour)',
  usageDays,
  'CREATE INDEX idx_usage_days_day ON usage_days (day)',
  `CREATE TABLE usage_aggregations (
     region text PRIMARY KEY,
     final_until timestamptz NOT NULL,
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE TABLE price_tables (
     as_of date PRIMARY KEY,
     document jsonb NOT NULL,
     deployed_at timestamptz NOT NULL DEFAULT now()
   )`,
  `ALTER TABLE usage_samples
     ADD COLUMN table_bytes bigint CHECK (table_bytes >= 0),
     ADD COLUMN index_bytes bigint CHECK (index_bytes >= 0),
     ADD COLUMN toast_bytes bigint CHECK (toast_bytes >= 0)`,
];
