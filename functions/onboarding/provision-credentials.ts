import { tenantSecretName } from '../placement/tenant-names.ts';
import { ensureTenantSecret } from '../places/tenant-secret.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { onProvisioningTenant, placeOf, type StepOutcome } from './provisioning-tenant.ts';

/**
 * Creates the secret of the tenant's login role, before the role, and notes its ARN in the registry: from then on the
 * proxy's desired list contains it.
 */
export function provisionCredentials(
  registry: RegistryExecutor,
  tenantId: string,
  { kmsKeyArn }: { kmsKeyArn: string | undefined },
): Promise<StepOutcome> {
  return onProvisioningTenant(registry, tenantId, async (tenant) => {
    const place = placeOf(tenant);
    const { roleName, host, port, database } = place;
    const secretArn = await ensureTenantSecret({
      ...{ name: tenantSecretName(tenantId, roleName), kmsKeyArn, roleName, host, port, database },
      tags: { 'strata:tenant-id': tenantId, 'strata:tier': tenant.tier },
    });
    await registrySql(registry)
      .updateTable('tenant_database_routing')
      .set({ secret_arn: secretArn, updated_at: now })
      .where('tenant_id', '=', tenantId)
      .where('epoch', '=', place.epoch)
      .where('secret_arn', 'is distinct from', secretArn)
      .execute();
  });
}
