/**
 * Row-level security of one shared table, given its qualified and quoted name.
 *
 * FORCE, so that it binds the tables' owner too. The sub-select is planned as an InitPlan: `current_tenant()` runs
 * once per query instead of once per row, and raises where no tenant was entered. WITH CHECK, so that no row can be
 * written for another tenant either. Partitions get the same although nobody is granted them directly.
 */
export function tenantIsolation(table: string): string[] {
  const own = 'tenant_id = (SELECT tenancy.current_tenant())';
  return [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
    `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
    `CREATE POLICY tenant_isolation_policy ON ${table} USING (${own}) WITH CHECK (${own})`,
  ];
}

/**
 * For migrations: `statements` that must see all tenants' rows of shared tables (the check of a new foreign key, a
 * backfill), run by the owner. Without this they would raise for want of a tenant. The ALTERs lock the tables until
 * the transaction ends, and request roles are bound by the policies throughout: FORCE is about the owner only.
 *
 * @param tables qualified and quoted names.
 */
export function overAllTenants(tables: readonly string[], statements: readonly string[]): string[] {
  if (statements.length === 0) return [];
  return [
    ...tables.map((table) => `ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY`),
    ...statements,
    ...tables.map((table) => `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`),
  ];
}
