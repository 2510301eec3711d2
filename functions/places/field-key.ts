import { isMultiRegion } from '../aws/key-copies.ts';
import { provideTenantKey } from '../aws/tenant-keys.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { findTenantKey, recordTenantKey, retireTenantKey } from '../registry/field-keys.ts';

export interface ProvideFieldKeyOptions {
  /** Of the place; the function's own when absent. */
  readonly awsRegion?: string | undefined;
  /** A key of one region, which an earlier release has made, is replaced. */
  readonly toBeCopied?: boolean;
  /**
   * Throws while the key cannot be used: then it is not recorded yet. A new alias takes some minutes to count in policies;
   * the launch of a database takes longer.
   */
  readonly requireUsable?: (keyArn: string) => Promise<unknown>;
}

/**
 * Makes the KMS key of a tenant that gets a dedicated database, or finds the one of an earlier stay, and records it. Call
 * it before the tenant has rows there. The key is no part of the database's stack: it outlives the last backup.
 * @param registry of the place's region.
 * @returns the key's ARN.
 * @throws the errors of KMS and of the registry.
 */
export async function provideFieldKey(
  registry: RegistryExecutor,
  tenantId: string,
  { awsRegion, toBeCopied = false, requireUsable }: ProvideFieldKeyOptions = {},
): Promise<string> {
  const known = await findTenantKey(registry, tenantId);
  if (known && (isMultiRegion(known) || !toBeCopied)) return known;
  const keyArn = await provideTenantKey(tenantId, awsRegion);
  await requireUsable?.(keyArn);
  if (known) await retireTenantKey(registry, known);
  await recordTenantKey(registry, tenantId, keyArn);
  return keyArn;
}
