import { bootstrapDataDatabase } from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import type { RegistryExecutor } from '../database/registry/data-api.ts';
import { dedicatedSecretName } from '../placement/tenant-names.ts';
import { onProvisioningTenant, placeOf, type StepOutcome } from './provisioning-tenant.ts';
import { readSecret } from './tenant-secret.ts';

/** Prepares the tenant's own database as cells are prepared at deployment, but without shared tables. */
export function bootstrapDedicated(registry: RegistryExecutor, tenantId: string): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const { writerHost: host, port, database, ownerSecret } = placeOf(tenant);
    const { password: ownerPassword } = await readSecret(ownerSecret);
    const secretArn = dedicatedSecretName(tenantId, 'master');
    const master = await dataConnection({ host, port, database, secretArn });
    try {
      await bootstrapDataDatabase(master, { ownerPassword, shared: false });
    } finally {
      await master.end();
    }
  });
}
