/**
 * Registry schema version 12: KMS keys of tenants for encrypted fields, and the work that encrypts fields again.
 *
 * A row of `tenant_field_keys` stays when its key is no longer the tenant's: backups have values under it. `key_arn` of a
 * rotation is the KMS key that values get (null until a worker takes it up), `epoch` that of the tenant's place; data keys made before `stale_before` are
 * replaced. `after_row` is the last employee that was handled, and `leased_until` is set while a worker is on it. No
 * reference to `tenants`: in its new region, a tenant has its key before it arrives.
 */
const tenantFieldKeys = `
CREATE TABLE tenant_field_keys (
  key_arn text PRIMARY KEY,
  tenant_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  retired_at timestamptz
)`;

const fieldRotations = `
CREATE TABLE field_rotations (
  rotation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL,
  region text NOT NULL,
  cause text NOT NULL CHECK (cause IN ('key', 'age', 'request')),
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed')),
  reason text,
  key_arn text,
  epoch bigint NOT NULL,
  stale_before timestamptz NOT NULL,
  after_row uuid,
  values_done bigint NOT NULL DEFAULT 0 CHECK (values_done >= 0),
  values_damaged bigint NOT NULL DEFAULT 0 CHECK (values_damaged >= 0),
  started_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  leased_until timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL))
)`;

export const fieldKeyTables: readonly string[] = [
  tenantFieldKeys,
  'CREATE UNIQUE INDEX one_current_field_key ON tenant_field_keys (tenant_id) WHERE retired_at IS NULL',
  fieldRotations,
  `CREATE UNIQUE INDEX one_running_rotation ON field_rotations (tenant_id, cause) WHERE status = 'running'`,
  'CREATE INDEX idx_field_rotations_tenant ON field_rotations (tenant_id, started_at, rotation_id)',
];
