/**
 * The version of the tenant tables that this code is written for: the number of the last migration. A target may be
 * older until a rollout reaches it, and newer after a rollback. (A separate file, because every request needs it
 * without the migrations.)
 */
export const TENANT_SCHEMA_VERSION = 6;
