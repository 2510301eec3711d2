/**
 * Registry schema version 13: accounts of users in the region's user pool.
 *
 * - `account_requests` is an outbox: whoever changes a membership adds the user's address in the same transaction, and
 *   the task that works on accounts makes the user pool agree with the memberships, then deletes the row. `request`
 *   changes with every request, so that one that comes during the work is not lost. `lease` names the run that works
 *   on the address.
 * - `tenant_choices`: for which of their tenants the members of several get their tokens. By the subject of the token,
 *   because an identity provider may name any address.
 *
 * Members that the registry has already are requested once: whoever has no account gets one.
 */
const accountRequests = `
CREATE TABLE account_requests (
  email varchar(255) PRIMARY KEY CHECK (email = lower(email)),
  request uuid NOT NULL DEFAULT gen_random_uuid(),
  requested_at timestamptz NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  reason text,
  lease uuid,
  lease_expires_at timestamptz,
  CHECK ((lease IS NULL) = (lease_expires_at IS NULL))
)`;

const tenantChoices = `
CREATE TABLE tenant_choices (
  subject text PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
  chosen_at timestamptz NOT NULL DEFAULT now()
)`;

export const accountTables: readonly string[] = [
  accountRequests,
  'CREATE INDEX idx_account_requests_due ON account_requests (next_attempt_at)',
  tenantChoices,
  'CREATE INDEX idx_tenant_choices_tenant ON tenant_choices (tenant_id)',
  // An identity provider's user is one user of its tenant.
  `CREATE UNIQUE INDEX one_user_per_external_id ON tenant_users (tenant_id, external_auth_id)
     WHERE external_auth_id IS NOT NULL`,
  // A tenant's own admin changes its users.
  'ALTER TABLE control_audit_log DROP CONSTRAINT control_audit_log_actor_type_check',
  `ALTER TABLE control_audit_log ADD CONSTRAINT control_audit_log_actor_type_check
     CHECK (actor_type IN ('operator', 'workflow', 'system', 'user'))`,
  `INSERT INTO account_requests (email)
     SELECT DISTINCT lower(u.email) FROM tenant_users u JOIN tenants t USING (tenant_id)
      WHERE u.is_active AND t.status IN ('active', 'suspended')`,
];
