/**
 * Registry schema version 7: backups of tenants, and the parts in which they are written.
 *
 * `tier`, `isolation_model`, `epoch` and `schema_version` are those of the tenant when the backup began: the objects are in
 * the folder of that tier, and expire with it. `plan` says what the present `attempt` reads. `lanes` has, for each of two
 * lanes, `{ worker, snapshot }` of the worker that is present and exports the snapshot, or null. An `expired` backup is no longer shown; its row goes once its objects have.
 */
const tenantBackups = `
CREATE TABLE tenant_backups (
  backup_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  region text NOT NULL,
  tier text NOT NULL CHECK (tier IN ('starter', 'business', 'enterprise')),
  isolation_model text NOT NULL CHECK (isolation_model IN ('shared', 'schema', 'dedicated')),
  epoch bigint NOT NULL CHECK (epoch > 0),
  schema_version integer NOT NULL CHECK (schema_version >= 0),
  status text NOT NULL DEFAULT 'running'
    CHECK (status IN ('running', 'succeeded', 'failed', 'aborted', 'expired')),
  phase text NOT NULL DEFAULT 'planned',
  reason text,
  prefix text NOT NULL,
  execution_arn text,
  started_by text NOT NULL,
  plan jsonb CHECK (jsonb_typeof(plan) = 'object'),
  attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  lanes jsonb NOT NULL DEFAULT '[null, null]' CHECK (jsonb_array_length(lanes) = 2),
  rows bigint CHECK (rows >= 0),
  bytes bigint CHECK (bytes >= 0),
  manifest_sha256 text,
  last_drill jsonb CHECK (jsonb_typeof(last_drill) = 'object'),
  started_at timestamptz NOT NULL DEFAULT now(),
  snapshot_at timestamptz,
  finished_at timestamptz,
  expires_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL))
)`;

/** `part_index` counts within the table; `range` null is all of it. `raw_bytes` of the COPY stream, `stored_bytes` and `sha256` of the object, `content_hash` of the rows. */
const tenantBackupParts = `
CREATE TABLE tenant_backup_parts (
  backup_id uuid NOT NULL REFERENCES tenant_backups (backup_id) ON DELETE CASCADE,
  part integer NOT NULL CHECK (part >= 0),
  table_name text NOT NULL,
  part_index integer NOT NULL CHECK (part_index >= 0),
  range jsonb CHECK (jsonb_typeof(range) = 'object'),
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'working', 'done')),
  worker text,
  object_key text,
  rows bigint CHECK (rows >= 0),
  raw_bytes bigint CHECK (raw_bytes >= 0),
  stored_bytes bigint CHECK (stored_bytes >= 0),
  sha256 text,
  content_hash text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (backup_id, part),
  CHECK ((state = 'working') = (worker IS NOT NULL)),
  CHECK (state <> 'done' OR num_nulls(object_key, rows, raw_bytes, stored_bytes, sha256, content_hash) = 0)
)`;

export const backupTables: readonly string[] = [
  tenantBackups,
  // The registry itself refuses a second backup of a tenant at once.
  `CREATE UNIQUE INDEX one_running_backup ON tenant_backups (tenant_id) WHERE status = 'running'`,
  'CREATE INDEX idx_tenant_backups_tenant ON tenant_backups (tenant_id, started_at, backup_id)',
  'CREATE INDEX idx_tenant_backups_execution ON tenant_backups (execution_arn)',
  'CREATE INDEX idx_tenant_backups_expiry ON tenant_backups (expires_at)',
  tenantBackupParts,
  'CREATE INDEX idx_tenant_backup_parts_state ON tenant_backup_parts (backup_id, state)',
];
