import { sql } from 'kysely';
import { requestAccountsOf } from '../registry/account-requests.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import { activated } from '../registry/lost-tenants.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { selectTenants, type TenantRecord, toTenantRecord } from '../registry/tenant-record.ts';
import { OnboardingIncomplete, TenantNotProvisioning } from './errors.ts';

/**
 * The commit point of onboarding: one transaction makes the tenant active and its planned place its placement. A tenant
 * whose rows are lost, and a clone, become suspended instead, until they are restored.
 * Repeating it changes nothing.
 * @throws {OnboardingIncomplete} an earlier phase is missing.
 * @throws {TenantNotProvisioning} the tenant failed or was removed meanwhile.
 */
export function activateTenant(
  registry: DataApi,
  tenantId: string,
  actor: AuditActor,
): Promise<TenantRecord> {
  return registry.transaction(async (transaction) => {
    const db = registrySql(transaction);
    const changed = await db
      .updateTable('tenants')
      .set((eb) => ({
        ...activated,
        updated_at: now,
        subscription_start_date: eb.fn.coalesce('subscription_start_date', sql<string>`current_date`),
      }))
      .where('tenant_id', '=', tenantId)
      .where('status', '=', 'provisioning')
      .returning('tenant_id')
      .execute();
    if (changed.length > 0) {
      const placed = await db
        .updateTable('tenant_database_routing')
        .set({ updated_at: now })
        .where('tenant_id', '=', tenantId)
        .where('secret_arn', 'is not', null)
        .returning('tenant_id')
        .execute();
      if (placed.length === 0) throw new OnboardingIncomplete('the tenant has no place yet');
      await recordAudit(transaction, { actor, action: 'tenant.activate', tenantId, data: {} });
      // From now on its users may sign in.
      await requestAccountsOf(transaction, tenantId);
    }
    const row = await selectTenants(db).where('t.tenant_id', '=', tenantId).executeTakeFirst();
    // An operator may suspend the tenant right after its activation; the activation still succeeded.
    if (row?.status !== 'active' && row?.status !== 'suspended') throw new TenantNotProvisioning();
    return toTenantRecord(row);
  });
}
