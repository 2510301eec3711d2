/**
 * Registry schema version 5: several regions, each with its own registry. Every registry has all regions, so that a
 * request in the wrong region can be redirected, and a move has the settings of its target region.
 *
 * - `api_url`: the region's data plane.
 * - `secrets_key_arn`: key of secrets that are made there at run time.
 * - `dedicated_…`: how a dedicated database is launched there.
 *
 * A tenant is `arriving` while a move from another region brings it, and `elsewhere` when another region serves it.
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
