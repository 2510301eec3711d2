/**
 * Erases what makes up a tenant's places apart from rows: its secrets in the lists of proxies, the secrets themselves, the
 * dedicated database with its stack, the final snapshots of former dedicated databases, and the tenant's own KMS key.
 *
 * The registry no longer names the tenant's secrets for a proxy once the tenant is `offboarded`, so a proxy's list is made
 * as at any other time. The key is deleted last: it makes unreadable what backups still have.
 */
import { sql } from 'kysely';
import { secretsNamed } from '../aws/secrets.ts';
import { deleteTenantKey } from '../aws/tenant-keys.ts';
import { DATABASE_SIZES } from '../contracts/database-size.ts';
import { DEDICATED_SECRETS, TENANT_SECRETS } from '../contracts/names.ts';
import { KEY_DELETION_DAYS } from '../contracts/offboarding-policy.ts';
import { dedicatedStackName } from '../placement/tenant-names.ts';
import {
  deleteDedicatedDatabase,
  deleteSnapshot,
  findDedicatedDatabase,
} from '../places/delete-dedicated-database.ts';
import { listCellIds, repairProxyAuth } from '../places/proxy-auth.ts';
import { deleteSecret } from '../places/tenant-secret.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Kept } from './offboarding-records.ts';

/** Makes every proxy of the region refuse the tenant's secrets. @throws {ProxyBusy | ProxyLeaseLost} transient. */
export async function eraseFromProxies(registry: RegistryExecutor): Promise<void> {
  for (const cellId of await listCellIds(registry)) await repairProxyAuth(registry, cellId);
}

/** ARNs of the tenant's secrets in the region. */
export async function findSecrets(tenantId: string): Promise<string[]> {
  const prefixes = [`${TENANT_SECRETS}${tenantId}/`, `${DEDICATED_SECRETS}${tenantId}/`];
  return (await Promise.all(prefixes.map((prefix) => secretsNamed(prefix)))).flat();
}

/** Deletes them at once, without a recovery window. Call it after the dedicated database is gone, which uses its own. */
export async function eraseSecrets(tenantId: string): Promise<void> {
  for (const arn of await findSecrets(tenantId)) await deleteSecret(arn);
}

/** Number of dedicated databases that the tenant has or had in the region and that exist: at most one of each size. */
export async function countDedicatedDatabases(tenantId: string): Promise<number> {
  return (await dedicatedDatabasesOf(tenantId)).length;
}

/**
 * Deletes the dedicated database with its automated backups, its proxy, its secrets and its stack; of every size, because
 * an interrupted change of size leaves a second one. No final snapshot is taken: it would be a copy of what is erased.
 * Call it until it is done, which takes a quarter of an hour.
 */
export async function eraseDedicatedDatabase(tenantId: string): Promise<boolean> {
  const deletions = (await dedicatedDatabasesOf(tenantId)).map((database) =>
    deleteDedicatedDatabase(database),
  );
  return (await Promise.all(deletions)).every(({ done }) => done);
}

async function dedicatedDatabasesOf(tenantId: string) {
  const found = await Promise.all(
    DATABASE_SIZES.map((size) => findDedicatedDatabase(dedicatedStackName(tenantId, size))),
  );
  return found.filter((database) => database !== undefined);
}

/** Names of the final snapshots of dedicated databases that the tenant has left. */
export async function snapshotsOf(registry: RegistryExecutor, tenantId: string): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_move_hops')
    .select(sql<string>`(source ->> 'stackName') || '-e' || (source ->> 'epoch')`.as('name'))
    .distinct()
    .where('tenant_id', '=', tenantId)
    .where(sql<boolean>`source ->> 'stackName' is not null`)
    .where(sql<boolean>`result ->> 'deletion' is not null`)
    .execute();
  return rows.map(({ name }) => name);
}

export async function eraseSnapshots(registry: RegistryExecutor, tenantId: string): Promise<void> {
  for (const name of await snapshotsOf(registry, tenantId)) await deleteSnapshot(name);
}

/** ARNs of the tenant's own keys in the region, present and former ones. */
export async function keysOf(registry: RegistryExecutor, tenantId: string): Promise<string[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_field_keys')
    .select('key_arn')
    .where('tenant_id', '=', tenantId)
    .orderBy('key_arn')
    .execute();
  return rows.map(({ key_arn: arn }) => arn);
}

/** From now on they decrypt nothing; KMS deletes them after its waiting time. */
export async function eraseKeys(registry: RegistryExecutor, tenantId: string): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const arn of await keysOf(registry, tenantId)) {
    for (const { keyArn, deletedAt } of await deleteTenantKey(arn, tenantId, KEY_DELETION_DAYS)) {
      kept.push({
        what: `KMS key ${keyArn}, disabled`,
        count: 1,
        until: deletedAt?.toISOString() ?? null,
        why: 'KMS deletes a key after a waiting time. Nothing can be decrypted with it already.',
      });
    }
  }
  return kept;
}
