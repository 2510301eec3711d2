import { provideTenantKey } from '../aws/tenant-keys.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { findTenantKey, recordTenantKey } from '../registry/field-keys.ts';

/**
 * Makes the KMS key of a tenant that gets a dedicated database, or finds the one of an earlier stay, and records it. Call
 * it before the tenant has rows there. The key is no part of the database's stack: it outlives the last backup.
 * @param registry of the place's region.
 * @param awsRegion of the place; the function's own when absent.
 * @param requireUsable throws while the key cannot be used: then it is not recorded yet. A new alias takes some minutes to
 *   count in policies; the launch of a database takes longer.
 * @returns the key's ARN.
 * @throws the errors of KMS and of the registry.
 */
export async function provideFieldKey(
  registry: RegistryExecutor,
  tenantId: string,
  awsRegion?: string,
  requireUsable?: (keyArn: string) => Promise<unknown>,
): Promise<string> {
  const known = await findTenantKey(registry, tenantId);
  if (known) return known;
  const keyArn = await provideTenantKey(tenantId, awsRegion);
  await requireUsable?.(keyArn);
  await recordTenantKey(registry, tenantId, keyArn);
  return keyArn;
}
