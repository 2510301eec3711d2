/**
 * Registry schema version 6: the version of each target's tables, and the rollouts that change it.
 *
 * - `schema_version`: number of the last migration of the tenant tables there. In a cell's row: of its shared tables.
 *   In a routing row: of the tenant's own schema; a Starter tenant has its cell's.
 * - `tenancy_version`: version of schema `tenancy` in that database. In a routing row: of the dedicated database.
 *
 * Both are what the database last reported: the database may be ahead, never behind. Targets from before this version
 * are at 2 and 1.
 */
const schemaRollouts = `
CREATE TABLE schema_rollouts (
  rollout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'aborted')),
  phase text NOT NULL DEFAULT 'planned',
  reason text,
  schema_version integer NOT NULL CHECK (schema_version > 0),
  tenancy_version integer NOT NULL CHECK (tenancy_version > 0),
  input jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(input) = 'object'),
  execution_arn text,
  started_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL))
)`;

/** `target` is `cell <id>` or `tenant <id>`. `deferred`: a move keeps the target, and the rollout tries it again. */
const schemaRolloutTargets = `
CREATE TABLE schema_rollout_targets (
  rollout_id uuid NOT NULL REFERENCES schema_rollouts (rollout_id) ON DELETE CASCADE,
  target text NOT NULL,
  isolation_model text NOT NULL CHECK (isolation_model IN ('shared', 'schema', 'dedicated')),
  cell_id text,
  tenant_id uuid,
  state text NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'working', 'deferred', 'succeeded', 'failed')),
  reason text,
  attempts integer NOT NULL DEFAULT 0,
  from_version integer,
  to_version integer,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (rollout_id, target),
  CHECK ((isolation_model = 'shared') = (tenant_id IS NULL))
)`;

export const rolloutTables: readonly string[] = [
  `ALTER TABLE cells
     ADD COLUMN schema_version integer NOT NULL DEFAULT 2 CHECK (schema_version >= 0),
     ADD COLUMN tenancy_version integer NOT NULL DEFAULT 1 CHECK (tenancy_version >= 0)`,
  `ALTER TABLE tenant_database_routing
     ADD COLUMN schema_version integer NOT NULL DEFAULT 2 CHECK (schema_version >= 0),
     ADD COLUMN tenancy_version integer NOT NULL DEFAULT 1 CHECK (tenancy_version >= 0)`,
  schemaRollouts,
  `CREATE UNIQUE INDEX one_running_rollout ON schema_rollouts (status) WHERE status = 'running'`,
  'CREATE INDEX idx_schema_rollouts_started ON schema_rollouts (started_at, rollout_id)',
  schemaRolloutTargets,
  'CREATE INDEX idx_schema_rollout_targets_state ON schema_rollout_targets (rollout_id, state)',
];
