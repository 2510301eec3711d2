/**
 * The version of the tenant tables that this code is written for: the number of the last migration. A target may be
 * older while a rollout has not reached it, and newer after a rollback. (A file of its own, because every request needs
 * it, and none the migrations.)
 */
export const TENANT_SCHEMA_VERSION = 3;
