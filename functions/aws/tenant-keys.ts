/**
 * KMS keys of single tenants. A key has the tenant's alias, which is how functions may use it (`kms:ResourceAliases`) and
 * how it is found again. Only an offboarding deletes one: while a backup
 * has values under it, its loss is the loss of the values.
 */
import type { KMSClient } from '@aws-sdk/client-kms';
import { TENANT_FIELD_KEY, TENANT_ID_TAG } from '../contracts/key-tags.ts';
import { formerTenantKeyAlias, tenantKeyAlias } from '../contracts/names.ts';
import { kmsClient } from './clients.ts';
import { regionOfKey } from './key-copies.ts';

/**
 * The tenant's key in a region, made at the first call, as a multi-Region key, so that it can be copied to a second
 * region. May be repeated, and run concurrently: of two keys, the one that got the alias is the tenant's, and the other
 * one is never used.
 * @param awsRegion the function's own when absent.
 * @returns the key's ARN.
 * @throws KMS's errors.
 */
export async function provideTenantKey(tenantId: string, awsRegion?: string): Promise<string> {
  const { CreateAliasCommand, CreateKeyCommand, EnableKeyRotationCommand } = await import(
    '@aws-sdk/client-kms'
  );
  const client = await kmsClient(awsRegion);
  const known = await findKey(client, tenantKeyAlias(tenantId));
  if (known) return known;
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({
      Description: `Strata: encrypted fields of tenant ${tenantId}`,
      KeySpec: 'SYMMETRIC_DEFAULT',
      KeyUsage: 'ENCRYPT_DECRYPT',
      MultiRegion: true,
      Tags: [TENANT_FIELD_KEY, { TagKey: TENANT_ID_TAG, TagValue: tenantId }],
    }),
  );
  const { KeyId, Arn } = KeyMetadata ?? {};
  if (!KeyId || !Arn) throw new TypeError('KMS made a key without an ARN');
  await client.send(new EnableKeyRotationCommand({ KeyId }));
  try {
    await client.send(new CreateAliasCommand({ AliasName: tenantKeyAlias(tenantId), TargetKeyId: KeyId }));
  } catch (error) {
    if ((error as Error).name !== 'AlreadyExistsException') throw error;
    // The new one stays without an alias and encrypts nothing: no function has the right to delete keys.
    const other = await findKey(client, tenantKeyAlias(tenantId));
    if (!other) throw error;
    return other;
  }
  return Arn;
}

/** ARN of the key with that alias. */
async function findKey(client: KMSClient, alias: string): Promise<string | undefined> {
  const { DescribeKeyCommand } = await import('@aws-sdk/client-kms');
  try {
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: alias }));
    return KeyMetadata?.Arn;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** A key that KMS will delete. */
export interface LeavingKey {
  readonly keyArn: string;
  /** Undefined where KMS does not say. */
  readonly deletedAt: Date | undefined;
}

/** What KMS answers for keys that are gone or cannot be named any more. */
const isGone = (error: unknown) => (error as Error).name === 'NotFoundException';
const MS_PER_DAY = 86_400_000;

/**
 * Schedules the deletion of a tenant's key and of its copies, and deletes its aliases. From now on nothing can be decrypted
 * with them. May be repeated.
 * @param days until the deletion, 7 to 30. KMS begins to count for a key when its last copy is deleted.
 * @returns the key and its copies; empty where they are gone already.
 * @throws KMS's errors.
 */
export async function deleteTenantKey(
  keyArn: string,
  tenantId: string,
  days: number,
): Promise<readonly LeavingKey[]> {
  const client = await kmsClient(regionOfKey(keyArn));
  for (const alias of [tenantKeyAlias(tenantId), formerTenantKeyAlias(tenantId)]) {
    await deleteAlias(client, alias, keyArn);
  }
  // The key first: from then on no copy of it can be made.
  const leaving = await scheduleDeletion(client, keyArn, days);
  if (!leaving) return [];
  const copies: LeavingKey[] = [];
  for (const copyArn of leaving.copies) {
    const copy = await scheduleDeletion(await kmsClient(regionOfKey(copyArn)), copyArn, days);
    if (copy) copies.push({ keyArn: copyArn, deletedAt: copy.deletedAt });
  }
  const times = copies.flatMap(({ deletedAt }) => (deletedAt ? [deletedAt.getTime()] : []));
  const afterCopies = times.length > 0 ? new Date(Math.max(...times) + days * MS_PER_DAY) : undefined;
  return [{ keyArn, deletedAt: leaving.deletedAt ?? afterCopies }, ...copies];
}

async function deleteAlias(client: KMSClient, AliasName: string, keyArn: string): Promise<void> {
  const { DeleteAliasCommand } = await import('@aws-sdk/client-kms');
  try {
    if ((await findKey(client, AliasName)) === keyArn)
      await client.send(new DeleteAliasCommand({ AliasName }));
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** @returns undefined where the key is gone. */
async function scheduleDeletion(
  client: KMSClient,
  KeyId: string,
  days: number,
): Promise<{ readonly deletedAt: Date | undefined; readonly copies: readonly string[] } | undefined> {
  const { DescribeKeyCommand, ScheduleKeyDeletionCommand } = await import('@aws-sdk/client-kms');
  const describe = async () => (await client.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata;
  try {
    let found = await describe();
    if (found?.KeyState !== 'PendingDeletion' && found?.KeyState !== 'PendingReplicaDeletion') {
      await client.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: days }));
      found = await describe();
    }
    const replicas = found?.MultiRegionConfiguration?.ReplicaKeys ?? [];
    return {
      deletedAt: found?.DeletionDate,
      copies: replicas.flatMap(({ Arn }) => (Arn === undefined || Arn === KeyId ? [] : [Arn])),
    };
  } catch (error) {
    if (!isGone(error)) throw error;
    return undefined;
  }
}
