/**
 * Registry schema version 2: moves with their hops, and the data of promotion decisions. One statement each.
 *
 * A hop's `source` and `target` are places (`functions/places/place.ts`) as JSON. The data databases, not these rows,
 * decide where the tenant is. `attempt_id` is the value of `tenancy.placement.mover`.
 */
const tenantMoves = `
CREATE TABLE tenant_moves (
  move_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'aborted')),
  phase text NOT NULL DEFAULT 'planned',
  reason text,
  input jsonb NOT NULL CHECK (jsonb_typeof(input) = 'object'),
  plan jsonb NOT NULL CHECK (jsonb_typeof(plan) = 'array'),
  phases jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(phases) = 'array'),
  current_pause_ms double precision,
  report jsonb CHECK (jsonb_typeof(report) = 'object'),
  abort_requested_at timestamptz,
  abort_requested_by text,
  execution_arn text,
  started_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL))
)`;

const tenantMoveHops = `
CREATE TABLE tenant_move_hops (
  move_id uuid NOT NULL REFERENCES tenant_moves (move_id),
  hop_index integer NOT NULL CHECK (hop_index >= 0),
  attempt_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  kind text NOT NULL CHECK (kind IN ('reshape', 'relocate')),
  source jsonb NOT NULL CHECK (jsonb_typeof(source) = 'object'),
  target jsonb NOT NULL CHECK (jsonb_typeof(target) = 'object'),
  state text NOT NULL DEFAULT 'working'
    CHECK (state IN ('working', 'committed', 'settled', 'cleaned', 'rolling-back', 'rolled-back', 'mismatch')),
  result jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(result) = 'object'),
  committed_at timestamptz,
  cleanup_execution_arn text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (move_id, hop_index)
)`;

const usageSamples = `
CREATE TABLE usage_samples (
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  sampled_on date NOT NULL,
  active_users integer NOT NULL CHECK (active_users >= 0),
  active_employees integer NOT NULL CHECK (active_employees >= 0),
  storage_bytes bigint CHECK (storage_bytes >= 0),
  row_operations bigint CHECK (row_operations >= 0),
  monthly_revenue numeric(12,2),
  sampled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, sampled_on)
)`;

const tenantOffers = `
CREATE TABLE tenant_offers (
  offer_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  target_tier text NOT NULL CHECK (target_tier IN ('business', 'enterprise')),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'accepted', 'declined', 'withdrawn')),
  reasons jsonb NOT NULL CHECK (jsonb_typeof(reasons) = 'array'),
  figures jsonb NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
  move_id uuid REFERENCES tenant_moves (move_id),
  decided_by text,
  notified_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
)`;

const promotionDecisions = `
CREATE TABLE promotion_decisions (
  decision_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  decision text NOT NULL CHECK (decision IN ('keep', 'promote', 'defer', 'offer')),
  target_tier text CHECK (target_tier IN ('business', 'enterprise')),
  reasons jsonb NOT NULL CHECK (jsonb_typeof(reasons) = 'array'),
  figures jsonb NOT NULL CHECK (jsonb_typeof(figures) = 'object'),
  move_id uuid REFERENCES tenant_moves (move_id),
  offer_id uuid REFERENCES tenant_offers (offer_id),
  decided_at timestamptz NOT NULL DEFAULT now()
)`;

export const moveTables: readonly string[] = [
  tenantMoves,
  // The registry itself refuses a second move of a moving tenant.
  `CREATE UNIQUE INDEX one_running_move ON tenant_moves (tenant_id) WHERE status = 'running'`,
  'CREATE INDEX idx_tenant_moves_tenant ON tenant_moves (tenant_id, started_at, move_id)',
  'CREATE INDEX idx_tenant_moves_execution ON tenant_moves (execution_arn)',
  tenantMoveHops,
  `CREATE INDEX idx_tenant_move_hops_open ON tenant_move_hops (tenant_id)
   WHERE state NOT IN ('cleaned', 'rolled-back')`,
  usageSamples,
  tenantOffers,
  `CREATE UNIQUE INDEX one_open_offer ON tenant_offers (tenant_id, target_tier) WHERE status = 'open'`,
  'CREATE INDEX idx_tenant_offers_tenant ON tenant_offers (tenant_id, created_at, offer_id)',
  promotionDecisions,
  'CREATE INDEX idx_promotion_decisions_tenant ON promotion_decisions (tenant_id, decided_at, decision_id)',
];
