import type { RegistryExecutor } from './data-api.ts';
import { registrySql } from './registry-sql.ts';

/** ARN of the tenant's own KMS key in this registry's region; undefined when it has none. */
export async function findTenantKey(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<string | undefined> {
  const row = await registrySql(registry)
    .selectFrom('tenant_field_keys')
    .select('key_arn')
    .where('tenant_id', '=', tenantId)
    .where('retired_at', 'is', null)
    .executeTakeFirst();
  return row?.key_arn;
}

/** May be repeated. @throws {RegistryError} the tenant has another current key. */
export async function recordTenantKey(
  registry: RegistryExecutor,
  tenantId: string,
  keyArn: string,
): Promise<void> {
  await registrySql(registry)
    .insertInto('tenant_field_keys')
    .values({ key_arn: keyArn, tenant_id: tenantId })
    .onConflict((known) => known.column('key_arn').doNothing())
    .execute();
}
