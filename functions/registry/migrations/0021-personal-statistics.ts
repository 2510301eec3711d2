/**
 * Registry schema version 21: the planner's statistics quote no personal data.
 *
 * `erase_tenant` has the tables of what it deletes analyzed. That is not enough: PostgreSQL keeps the statistics of a table
 * that has become empty, and the task that works on accounts deletes its requests itself. So no values of these columns
 * are sampled. To alter a column to the type that it has removes what was sampled before, and rewrites nothing.
 */
const columns: readonly (readonly [table: string, column: string, type: string])[] = [
  ['tenants', 'tenant_name', 'varchar(255)'],
  ['tenants', 'admin_email', 'text'],
  ['tenants', 'billing_email', 'varchar(255)'],
  ['tenants', 'status_reason', 'text'],
  ['tenant_users', 'email', 'varchar(255)'],
  ['tenant_users', 'external_auth_id', 'varchar(255)'],
  ['account_requests', 'email', 'varchar(255)'],
  ['account_requests', 'reason', 'text'],
  ['tenant_choices', 'subject', 'text'],
  ['control_idempotency_keys', 'response_body', 'jsonb'],
];

export const personalStatistics: readonly string[] = [
  ...columns.map(
    ([table, column, type]) =>
      `ALTER TABLE ${table} ALTER COLUMN ${column} TYPE ${type}, ALTER COLUMN ${column} SET STATISTICS 0`,
  ),
  // Of an index on an expression, which was made anew with the type of the column.
  'ALTER INDEX idx_tenant_users_lower_email ALTER COLUMN 1 SET STATISTICS 0',
];
