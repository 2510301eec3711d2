import { MULTI_REGION_KEYS } from '../aws/key-copies.ts';
import { IN_USE } from '../contracts/tenant.ts';
import type { RegistryExecutor } from './data-api.ts';
import { now } from './registry-expressions.ts';
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

/** From now on the key decrypts only. Until the tenant has another one, its values are under the region's. */
export async function retireTenantKey(registry: RegistryExecutor, keyArn: string): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_field_keys')
    .set({ retired_at: now })
    .where('key_arn', '=', keyArn)
    .where('retired_at', 'is', null)
    .execute();
}

export interface UncopiedKey {
  readonly keyArn: string;
  readonly tenantId: string;
}

/** Multi-Region keys of the region's tenants that have no copy in an AWS region, at most `limit`. */
export async function listUncopiedKeys(
  registry: RegistryExecutor,
  {
    region,
    awsRegion,
    limit,
  }: { readonly region: string; readonly awsRegion: string; readonly limit: number },
): Promise<readonly UncopiedKey[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_field_keys as k')
    .innerJoin('tenants as t', 't.tenant_id', 'k.tenant_id')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 'k.tenant_id')
    .select(['k.key_arn', 'k.tenant_id'])
    // A key of a tenant that is being erased is being deleted.
    .where('t.status', 'in', IN_USE)
    .where('r.region', '=', region)
    .where('k.key_arn', 'like', MULTI_REGION_KEYS)
    .where((eb) => eb.or([eb('k.copied_to', 'is', null), eb('k.copied_to', '<>', awsRegion)]))
    .orderBy('k.created_at')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ keyArn: row.key_arn, tenantId: row.tenant_id }));
}

export async function noteCopied(
  registry: RegistryExecutor,
  keyArn: string,
  awsRegion: string,
): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_field_keys')
    .set({ copied_to: awsRegion })
    .where('key_arn', '=', keyArn)
    .execute();
}
