import { bootstrapDedicatedDatabase } from '../provisioning/bootstrap-dedicated-database.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { onProvisioningTenant, placeOf, type StepOutcome } from './provisioning-tenant.ts';

/** Prepares the database of a tenant that has one of its own. */
export function bootstrapDedicated(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const place = placeOf(tenant);
    const { tenancyVersion } = await bootstrapDedicatedDatabase(tenantId, place);
    await registry.query(
      `UPDATE tenant_database_routing SET tenancy_version = :tenancyVersion::int
       WHERE tenant_id = :tenantId::uuid AND epoch = :epoch::bigint`,
      { tenantId, epoch: place.epoch, tenancyVersion },
    );
  });
}
