/**
 * Registry schema version 5: several regions, each with a registry of its own. Every registry knows all regions, so that
 * a request that comes to the wrong one can be sent on, and a move knows what it may use in another.
 *
 * - `api_url`: the region's data plane.
 * - `secrets_key_arn`: key of secrets that are made there at run time.
 * - `dedicated_…`: how a dedicated database is launched there.
 *
 * A tenant is `arriving` while a move from another region brings it, and `elsewhere` where another region serves it.
 */
const regions = `
CREATE TABLE regions (
  region_key text PRIMARY KEY,
  aws_region text NOT NULL,
  api_url text NOT NULL,
  secrets_key_arn text NOT NULL,
  dedicated_template_url text NOT NULL,
  dedicated_role_arn text NOT NULL,
  dedicated_parameters jsonb NOT NULL CHECK (jsonb_typeof(dedicated_parameters) = 'object'),
  updated_at timestamptz NOT NULL DEFAULT now()
)`;

export const regionTables: readonly string[] = [
  regions,
  'ALTER TABLE tenants DROP CONSTRAINT tenants_status_check',
  `ALTER TABLE tenants ADD CONSTRAINT tenants_status_check
     CHECK (status IN ('provisioning', 'active', 'suspended', 'failed', 'offboarding', 'offboarded',
                       'arriving', 'elsewhere'))`,
];
