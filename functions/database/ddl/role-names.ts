/** Owns every schema and table of a data database and runs the DDL. Requests never log in as it. */
export const OWNER_ROLE = 'strata_owner';
/** Carries what all login roles of requests have in common: the way into `tenancy.enter`, and no table. */
export const TENANT_LOGIN_GROUP = 'strata_tenant_login';
