import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import {
  type TenantRecord,
  type TenantRow,
  tenantColumns,
  tenantSource,
  toTenantRecord,
} from '../registry/tenant-record.ts';
import { OnboardingIncomplete, TenantNotProvisioning } from './errors.ts';

/**
 * The commit point of onboarding: in one transaction the tenant becomes active and its planned place the one that
 * requests are sent to. Repeating it changes nothing.
 * @throws {OnboardingIncomplete} a step before this one is missing.
 * @throws {TenantNotProvisioning} the tenant failed or left meanwhile.
 */
export function activateTenant(
  registry: DataApi,
  tenantId: string,
  actor: AuditActor,
): Promise<TenantRecord> {
  return registry.transaction(async (transaction) => {
    const activated = await transaction.query(
      `UPDATE tenants SET status = 'active', status_reason = NULL, updated_at = now(),
              subscription_start_date = COALESCE(subscription_start_date, current_date)
       WHERE tenant_id = :tenantId::uuid AND status = 'provisioning'
       RETURNING tenant_id`,
      { tenantId },
    );
    if (activated.length > 0) {
      const placed = await transaction.query(
        `UPDATE tenant_database_routing SET updated_at = now()
         WHERE tenant_id = :tenantId::uuid AND secret_arn IS NOT NULL
         RETURNING tenant_id`,
        { tenantId },
      );
      if (placed.length === 0) throw new OnboardingIncomplete('the tenant has no place yet');
      await recordAudit(transaction, { actor, action: 'tenant.activate', tenantId, data: {} });
    }
    const [row] = await transaction.query<TenantRow>(
      `SELECT ${tenantColumns} FROM ${tenantSource} WHERE t.tenant_id = :tenantId::uuid`,
      { tenantId },
    );
    // A suspension may follow an activation at once; the activation has happened all the same.
    if (row?.status !== 'active' && row?.status !== 'suspended') throw new TenantNotProvisioning();
    return toTenantRecord(row);
  });
}
