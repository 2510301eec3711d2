import { bootstrapDedicatedDatabase } from '../places/bootstrap-dedicated-database.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { onProvisioningTenant, placeOf, type StepOutcome } from './provisioning-tenant.ts';

/** Prepares the database of a tenant that has one of its own. */
export function bootstrapDedicated(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const place = placeOf(tenant);
    const { tenancyVersion } = await bootstrapDedicatedDatabase(tenantId, place);
    await registrySql(registry)
      .updateTable('tenant_database_routing')
      .set({ tenancy_version: tenancyVersion })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '=', place.epoch)
      .execute();
  });
}
