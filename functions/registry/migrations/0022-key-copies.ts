/**
 * Registry schema version 22: `tenant_field_keys.copied_to` is the AWS region that has a copy of the tenant's key; null
 * without one. An earlier release that runs meanwhile does not write it, and the worker finds the copy again.
 */
export const keyCopyColumns: readonly string[] = ['ALTER TABLE tenant_field_keys ADD COLUMN copied_to text'];
