/**
 * Registry schema version 9: exports of tenants' data for the customer, and the parts in which they are written.
 *
 * An export is made of a backup: `backup_id` is null until it is decided which. `csv` and `sql` of a part are the two
 * objects that hold its rows, `{ key, bytes, storedBytes, sha256 }`; they go once the archive, `object_key`, is written.
 * `bytes` and `sha256` are the archive's. No reference to the backup's row, which goes when it expires.
 */
const tenantExports = `
CREATE TABLE tenant_exports (
  export_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  region text NOT NULL,
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'aborted')),
  phase text NOT NULL DEFAULT 'planned',
  reason text,
  prefix text NOT NULL,
  bucket text,
  object_key text,
  execution_arn text,
  started_by text NOT NULL,
  backup_id uuid,
  parts_total integer CHECK (parts_total >= 0),
  rows bigint CHECK (rows >= 0),
  bytes bigint CHECK (bytes >= 0),
  sha256 text,
  started_at timestamptz NOT NULL DEFAULT now(),
  snapshot_at timestamptz,
  finished_at timestamptz,
  expires_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL)),
  CHECK (status <> 'succeeded' OR num_nulls(bucket, object_key, rows, bytes, sha256, snapshot_at) = 0)
)`;

const tenantExportParts = `
CREATE TABLE tenant_export_parts (
  export_id uuid NOT NULL REFERENCES tenant_exports (export_id) ON DELETE CASCADE,
  part integer NOT NULL CHECK (part >= 0),
  rows bigint NOT NULL CHECK (rows >= 0),
  csv jsonb NOT NULL CHECK (jsonb_typeof(csv) = 'object'),
  sql jsonb NOT NULL CHECK (jsonb_typeof(sql) = 'object'),
  PRIMARY KEY (export_id, part)
)`;

export const exportTables: readonly string[] = [
  tenantExports,
  // The registry itself refuses a second export of a tenant at once.
  `CREATE UNIQUE INDEX one_running_export ON tenant_exports (tenant_id) WHERE status = 'running'`,
  'CREATE INDEX idx_tenant_exports_tenant ON tenant_exports (tenant_id, started_at, export_id)',
  'CREATE INDEX idx_tenant_exports_execution ON tenant_exports (execution_arn)',
  'CREATE INDEX idx_tenant_exports_expiry ON tenant_exports (expires_at)',
  tenantExportParts,
];
