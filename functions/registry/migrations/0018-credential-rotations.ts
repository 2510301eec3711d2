/**
 * Registry schema version 18: rotations of database credentials.
 *
 * `subject` names what is rotated, such as `tenant <id>` or `cell us-1 owner`: one rotation of it runs at a time. `secret`
 * is the ARN or the name of the secret of `role_name`, never a value. `stand_in_secret_arn` is set while a proxy must
 * accept the stand-in too. `switched_at`: since when requests depend on the rotation; it can no longer be taken back. No reference to `tenants`: the record of a rotation outlives its tenant.
 */
const credentialRotations = `
CREATE TABLE credential_rotations (
  rotation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  kind text NOT NULL CHECK (kind IN ('tenant', 'starter', 'owner', 'registry')),
  subject text NOT NULL,
  tenant_id uuid,
  cell_id text,
  region text NOT NULL,
  role_name text NOT NULL,
  secret text NOT NULL,
  stand_in_role text,
  stand_in_secret_arn text,
  is_immediate boolean NOT NULL DEFAULT false,
  switched_at timestamptz,
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'aborted')),
  phase text NOT NULL DEFAULT 'planned',
  reason text,
  attempt integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
  execution_arn text,
  started_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL))
)`;

export const credentialRotationTables: readonly string[] = [
  credentialRotations,
  `CREATE UNIQUE INDEX one_running_credential_rotation ON credential_rotations (subject) WHERE status = 'running'`,
  'CREATE INDEX idx_credential_rotations_started ON credential_rotations (started_at, rotation_id)',
  'CREATE INDEX idx_credential_rotations_subject ON credential_rotations (subject, finished_at)',
];
