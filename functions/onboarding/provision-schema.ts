import { tierTerms } from '../contracts/tier-terms.ts';
import { createTenantSchema } from '../database/provisioning/tenant-schema.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import { TenantSecretInvalid } from '../places/errors.ts';
import { readSecret } from '../places/tenant-secret.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { onProvisioningTenant, placeOf, type StepOutcome, secretOf } from './provisioning-tenant.ts';

/** Creates the tenant's schema with its tables and its login role, whose password is the secret's. */
export function provisionSchema(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const place = placeOf(tenant);
    const { schemaName, roleName } = place;
    const { username, password } = await readSecret(secretOf(place));
    if (username !== roleName) throw new TenantSecretInvalid();
    // -1 is PostgreSQL's word for no limit.
    const connectionLimit = tierTerms[tenant.tier].connectionLimit ?? -1;
    const schemaVersion = await asOwner(place, (owner) =>
      createTenantSchema(owner, { tenantId, schemaName, roleName, password, connectionLimit }),
    );
    await registrySql(registry)
      .updateTable('tenant_database_routing')
      .set({ schema_version: schemaVersion })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '=', place.epoch)
      .execute();
  });
}
