import { placeTenant } from '../database/provisioning/place-tenant.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { onProvisioningTenant, placeOf, type StepOutcome } from './provisioning-tenant.ts';

/** Tells the data database that the tenant lives there, so that its transactions may enter. */
export function provisionPlacement(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const place = placeOf(tenant);
    const { isolationModel } = tenant;
    const { epoch, schemaName, roleName } = place;
    await asOwner(place, (owner) =>
      placeTenant(owner, { tenantId, epoch, isolationModel, schemaName, roleName }),
    );
  });
}
