import type { RegistryExecutor } from '../database/registry/data-api.ts';
import { bootstrapDedicatedDatabase } from '../provisioning/bootstrap-dedicated-database.ts';
import { onProvisioningTenant, placeOf, type StepOutcome } from './provisioning-tenant.ts';

/** Prepares the database of a tenant that has one of its own. */
export function bootstrapDedicated(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, (tenant) =>
    bootstrapDedicatedDatabase(tenantId, placeOf(tenant)),
  );
}
