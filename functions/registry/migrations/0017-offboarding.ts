/**
 * Registry schema version 17: tenants that leave, and the notices about their subscriptions.
 *
 * - `tenant_offboardings`: `former_status` is the tenant's before, for a cancellation. `facts` has what each phase found and
 *   erased, and `certificate` the signed document of an offboarding that has succeeded. `part_of` is set where the
 *   offboarding runs in another region: this one erases what the tenant has left here, and issues no certificate.
 * - `subscription_notices`: what was announced or done because a subscription ends at that date, once each.
 * - `erase_tenant`: the only way to delete a tenant's rows here. The roles of functions have no right to delete them
 *   otherwise. It works only while the tenant's offboarding is in its phase `erase`, and it finds the tables itself, so
 *   that a table of a later version is not forgotten. Figures (`usage_…`), the operators' audit log and the offboarding stay.
 *   An alert of a cell that names the tenant among others stays too, without the tenant's id.
 */
const tenantOffboardings = `
CREATE TABLE tenant_offboardings (
  offboarding_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  region text NOT NULL,
  cause text NOT NULL CHECK (cause IN ('request', 'subscription')),
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'aborted')),
  phase text NOT NULL DEFAULT 'planned',
  reason text,
  former_status text NOT NULL CHECK (former_status IN ('active', 'suspended', 'failed', 'elsewhere')),
  part_of text,
  export_id uuid,
  execution_arn text,
  started_by text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  grace_until timestamptz,
  erasing_since timestamptz,
  finished_at timestamptz,
  facts jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(facts) = 'object'),
  certificate text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'running') = (finished_at IS NULL)),
  CHECK (status <> 'succeeded' OR part_of IS NOT NULL OR certificate IS NOT NULL)
)`;

const subscriptionNotices = `
CREATE TABLE subscription_notices (
  tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
  end_date date NOT NULL,
  notice text NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, end_date, notice)
)`;

/** No colons in it: the Data API takes a word behind one for a parameter. */
const eraseTenant = `
CREATE FUNCTION erase_tenant(erased uuid) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $function$
DECLARE
  waiting text[];
  refused text[];
  relation text;
  counted bigint;
  of_alerts bigint;
  counts jsonb = '{}';
  named text = cast(erased AS text);
  -- As names of roles, schemas and replication slots have it.
  hex text = replace(cast(erased AS text), '-', '');
BEGIN
  PERFORM FROM public.tenants t WHERE t.tenant_id = erased FOR UPDATE;
  IF NOT EXISTS (SELECT FROM public.tenant_offboardings o
                  WHERE o.tenant_id = erased AND o.status = 'running' AND o.phase = 'erase') THEN
    RAISE EXCEPTION 'the tenant is not being erased' USING ERRCODE = 'TN005';
  END IF;
  DELETE FROM public.account_requests a
   WHERE EXISTS (SELECT FROM public.tenant_users u WHERE u.tenant_id = erased AND lower(u.email) = a.email)
     AND NOT EXISTS (SELECT FROM public.tenant_users u WHERE u.tenant_id <> erased AND lower(u.email) = a.email);
  GET DIAGNOSTICS counted = ROW_COUNT;
  counts = counts || jsonb_build_object('account_requests', counted);
  DELETE FROM public.control_idempotency_keys k
   WHERE k.resource_id = named OR strpos(cast(k.response_body AS text), named) > 0;
  GET DIAGNOSTICS counted = ROW_COUNT;
  counts = counts || jsonb_build_object('control_idempotency_keys', counted);
  -- The key of a dedicated database is the tenant's id.
  DELETE FROM public.query_baselines b WHERE b.database_key = named OR strpos(b.role_name, hex) > 0;
  GET DIAGNOSTICS counted = ROW_COUNT;
  counts = counts || jsonb_build_object('query_baselines', counted);
  -- About a role or a replication slot that the tenant had, or about the tenant.
  DELETE FROM public.alerts a
   WHERE a.tenant_id = erased OR strpos(concat(a.alert_key, a.summary), named) > 0
      OR strpos(concat(a.alert_key, a.summary), hex) > 0;
  GET DIAGNOSTICS of_alerts = ROW_COUNT;
  -- About a cell, with the tenant among others.
  UPDATE public.alerts a
     SET details = cast(replace(replace(cast(a.details AS text), named, 'erased'), hex, 'erased') AS jsonb)
   WHERE strpos(cast(a.details AS text), named) > 0 OR strpos(cast(a.details AS text), hex) > 0;
  GET DIAGNOSTICS counted = ROW_COUNT;
  of_alerts = of_alerts + counted;
  waiting = ARRAY(
    SELECT cast(c.relname AS text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = to_regnamespace('public') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND a.attname = 'tenant_id' AND NOT a.attisdropped AND a.atttypid = to_regtype('uuid')
       AND c.relname NOT IN ('tenants', 'tenant_offboardings', 'control_audit_log')
       AND NOT starts_with(cast(c.relname AS text), 'usage_')
     ORDER BY 1);
  WHILE cardinality(waiting) > 0 LOOP
    refused = '{}';
    FOREACH relation IN ARRAY waiting LOOP
      BEGIN
        EXECUTE format('DELETE FROM public.%I WHERE tenant_id = $1', relation) USING erased;
        GET DIAGNOSTICS counted = ROW_COUNT;
        counts = counts || jsonb_build_object(relation, counted);
      EXCEPTION WHEN foreign_key_violation THEN
        -- Rows of another table refer to these, and go first.
        refused = refused || relation;
      END;
    END LOOP;
    IF cardinality(refused) = cardinality(waiting) THEN
      RAISE EXCEPTION 'rows of % are still referred to', refused USING ERRCODE = 'TN005';
    END IF;
    waiting = refused;
  END LOOP;
  counts = counts || jsonb_build_object('alerts', of_alerts);
  UPDATE public.tenants t
     SET tenant_name = 'offboarded ' || named, schema_name = NULL, status_reason = NULL, execution_arn = NULL,
         admin_email = NULL, billing_email = NULL, monthly_revenue = NULL, max_users = NULL, max_storage_gb = NULL,
         features = NULL, compliance_requirements = NULL, clone_of = NULL, last_drill = NULL, lost = NULL,
         subscription_start_date = NULL, subscription_end_date = NULL, updated_at = now(),
         status = CASE WHEN t.status = 'elsewhere' THEN t.status ELSE 'offboarded' END
   WHERE t.tenant_id = erased;
  -- The planner's statistics quote values of columns, e-mail addresses among them.
  ANALYZE public.tenants;
  FOR relation IN SELECT key FROM jsonb_each_text(counts) WHERE cast(value AS bigint) > 0 LOOP
    EXECUTE format('ANALYZE public.%I', relation);
  END LOOP;
  RETURN cast(counts AS text);
END
$function$`;

export const offboardingTables: readonly string[] = [
  tenantOffboardings,
  // The registry itself refuses a second offboarding of a tenant at once.
  `CREATE UNIQUE INDEX one_running_offboarding ON tenant_offboardings (tenant_id) WHERE status = 'running'`,
  'CREATE INDEX idx_tenant_offboardings_tenant ON tenant_offboardings (tenant_id, started_at, offboarding_id)',
  'CREATE INDEX idx_tenant_offboardings_execution ON tenant_offboardings (execution_arn)',
  subscriptionNotices,
  eraseTenant,
  'REVOKE ALL ON FUNCTION erase_tenant(uuid) FROM PUBLIC',
];
