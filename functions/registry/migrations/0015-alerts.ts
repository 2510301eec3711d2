/**
 * Registry schema version 15: alerts, and the measurements that they need from one run to the next.
 *
 *   open ──acknowledge──▶ acknowledged ──the condition has ended──▶ resolved
 *   open ──the condition has ended──▶ resolved
 *
 * - `alert_key` names the condition (its kind and what it is about). While an alert of it is not resolved, there is no
 *   second one: the same condition only refreshes `last_seen_at`, `summary` and `details`. A condition that returns later
 *   gets a new alert.
 * - `published_at` and `resolution_published_at` are set once the topic has taken the message.
 * - No reference to `tenants`: an alert stays as history when its tenant has left.
 * - `query_baselines`: the counters of a statement at the end of its last window, and what it usually took.
 * - `cell_utilisation`: the latest measurement of each cell.
 */
const alerts = `
CREATE TABLE alerts (
  alert_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  alert_key text NOT NULL,
  kind text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('warning', 'critical')),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'resolved')),
  region text NOT NULL,
  tenant_id uuid,
  cell_id text,
  summary text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  opened_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  acknowledged_at timestamptz,
  acknowledged_by text,
  resolved_at timestamptz,
  published_at timestamptz,
  resolution_published_at timestamptz,
  CHECK ((status = 'resolved') = (resolved_at IS NOT NULL)),
  CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
  CHECK (status <> 'acknowledged' OR acknowledged_at IS NOT NULL)
)`;

const queryBaselines = `
CREATE TABLE query_baselines (
  database_key text NOT NULL,
  role_name text NOT NULL,
  query_id text NOT NULL,
  calls double precision NOT NULL,
  total_ms double precision NOT NULL,
  baseline_calls double precision NOT NULL,
  baseline_ms double precision NOT NULL,
  degraded_since timestamptz,
  window_mean_ms double precision,
  window_ended_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (database_key, role_name, query_id)
)`;

const cellUtilisation = `
CREATE TABLE cell_utilisation (
  cell_id text PRIMARY KEY REFERENCES cells (cell_id) ON DELETE CASCADE,
  figures jsonb NOT NULL,
  observed_at timestamptz NOT NULL DEFAULT now()
)`;

export const alertTables: readonly string[] = [
  alerts,
  `CREATE UNIQUE INDEX one_alert_per_condition ON alerts (alert_key) WHERE status <> 'resolved'`,
  'CREATE INDEX idx_alerts_opened ON alerts (opened_at, alert_id)',
  'CREATE INDEX idx_alerts_tenant ON alerts (tenant_id, opened_at, alert_id) WHERE tenant_id IS NOT NULL',
  `CREATE INDEX idx_alerts_to_publish ON alerts (opened_at)
     WHERE published_at IS NULL OR (status = 'resolved' AND resolution_published_at IS NULL)`,
  queryBaselines,
  cellUtilisation,
];
