/**
 * The registry's first schema version, one statement each (the Data API takes one per call). There are no
 * separate indexes on tenants(tenant_slug) and tenant_users(tenant_id), because they are prefixes of unique keys.
 */
const tenants = `
CREATE TABLE tenants (
  tenant_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_name varchar(255) NOT NULL UNIQUE,
  tenant_slug varchar(100) NOT NULL UNIQUE CHECK (tenant_slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  isolation_model varchar(50) NOT NULL CHECK (isolation_model IN ('shared', 'schema', 'dedicated')),
  schema_name varchar(100),
  subscription_tier varchar(50) NOT NULL CHECK (subscription_tier IN ('starter', 'business', 'enterprise')),
  status varchar(50) NOT NULL DEFAULT 'provisioning'
    CHECK (status IN ('provisioning', 'active', 'suspended', 'failed', 'offboarding', 'offboarded')),
  status_reason text,
  execution_arn text,
  admin_email text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  billing_email varchar(255),
  subscription_start_date date,
  subscription_end_date date,
  monthly_revenue numeric(12,2) CHECK (monthly_revenue >= 0),
  max_users integer CHECK (max_users > 0),
  max_storage_gb integer CHECK (max_storage_gb > 0),
  features jsonb CHECK (jsonb_typeof(features) = 'object'),
  data_residency varchar(50) CHECK (data_residency IN ('us', 'eu', 'apac')),
  compliance_requirements jsonb CHECK (jsonb_typeof(compliance_requirements) = 'array'),
  home_region text NOT NULL
)`;

const tenantUsers = `
CREATE TABLE tenant_users (
  user_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  email varchar(255) NOT NULL,
  role text NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
  external_auth_id varchar(255),
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_login_at timestamptz,
  UNIQUE (tenant_id, email)
)`;

const cells = `
CREATE TABLE cells (
  cell_id text PRIMARY KEY,
  region text NOT NULL,
  data_residency text NOT NULL CHECK (data_residency IN ('us', 'eu', 'apac')),
  database_host text NOT NULL,
  database_port integer NOT NULL CHECK (database_port BETWEEN 1 AND 65535),
  writer_host text NOT NULL,
  database_name text NOT NULL,
  proxy_name text NOT NULL,
  cluster_arn text NOT NULL,
  master_secret_arn text NOT NULL,
  owner_secret_arn text NOT NULL,
  starter_role_name text NOT NULL,
  starter_secret_arn text NOT NULL,
  max_business_tenants integer NOT NULL DEFAULT 190 CHECK (max_business_tenants >= 0),
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'full', 'draining')),
  proxy_lease_token uuid,
  proxy_lease_expires_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
)`;

const tenantDatabaseRouting = `
CREATE TABLE tenant_database_routing (
  tenant_id uuid PRIMARY KEY REFERENCES tenants (tenant_id),
  database_type varchar(50) NOT NULL DEFAULT 'postgresql'
    CONSTRAINT only_postgresql CHECK (database_type = 'postgresql'),
  database_host varchar(255) NOT NULL,
  database_port integer NOT NULL CHECK (database_port BETWEEN 1 AND 65535),
  database_name varchar(100) NOT NULL,
  schema_name varchar(100),
  connection_pool_size integer NOT NULL DEFAULT 10 CHECK (connection_pool_size > 0),
  read_replica_host varchar(255),
  cell_id text REFERENCES cells (cell_id),
  cluster_arn text,
  isolation_model text NOT NULL CHECK (isolation_model IN ('shared', 'schema', 'dedicated')),
  role_name text,
  secret_arn text,
  epoch bigint NOT NULL CHECK (epoch > 0),
  region text NOT NULL,
  writer_host text,
  stack_name text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((isolation_model = 'dedicated') = (cell_id IS NULL))
)`;

const controlAuditLog = `
CREATE TABLE control_audit_log (
  log_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  actor text NOT NULL,
  actor_type text NOT NULL CHECK (actor_type IN ('operator', 'workflow', 'system')),
  action text NOT NULL,
  tenant_id uuid,
  resource_type text NOT NULL,
  resource_id text,
  source_ip inet,
  request_data jsonb,
  created_at timestamptz NOT NULL DEFAULT now()
)`;

const controlIdempotencyKeys = `
CREATE TABLE control_idempotency_keys (
  idempotency_key text NOT NULL,
  actor text NOT NULL,
  request_hash text NOT NULL,
  response_status integer,
  response_body jsonb,
  resource_id text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (actor, idempotency_key)
)`;

export const initialTables: readonly string[] = [
  tenants,
  tenantUsers,
  cells,
  tenantDatabaseRouting,
  `COMMENT ON CONSTRAINT only_postgresql ON tenant_database_routing IS
   'mysql is refused: row-level security and logical replication carry the isolation models and the moves'`,
  controlAuditLog,
  controlIdempotencyKeys,
  'CREATE INDEX idx_tenants_status ON tenants (status)',
  'CREATE INDEX idx_tenants_created ON tenants (created_at, tenant_id)',
  'CREATE INDEX idx_tenant_users_email ON tenant_users (email)',
  // The sign-in looks up the address regardless of its case.
  'CREATE INDEX idx_tenant_users_lower_email ON tenant_users (lower(email))',
  'CREATE INDEX idx_tenant_users_tenant_created ON tenant_users (tenant_id, created_at, user_id)',
  'CREATE INDEX idx_tenant_database_routing_cell ON tenant_database_routing (cell_id, isolation_model)',
  'CREATE INDEX idx_control_audit_log_created ON control_audit_log (created_at, log_id)',
  'CREATE INDEX idx_control_audit_log_tenant ON control_audit_log (tenant_id, created_at)',
  'CREATE INDEX idx_control_idempotency_keys_created ON control_idempotency_keys (created_at)',
];
