/**
 * KMS keys of single tenants. A key has the tenant's alias, which is how functions may use it (`kms:ResourceAliases`) and
 * how it is found again. Only an offboarding deletes one: while a backup
 * has values under it, its loss is the loss of the values.
 */
import type { KMSClient } from '@aws-sdk/client-kms';
import { tenantKeyAlias } from '../contracts/names.ts';
import { kmsClient } from './clients.ts';

/** Tags that the role's right to create keys demands. */
const COMPONENT = { TagKey: 'strata:component', TagValue: 'tenant-field-key' };

/**
 * The tenant's key in a region, made at the first call. May be repeated, and run concurrently: of two keys, the one that
 * got the alias is the tenant's, and the other one is never used.
 * @param awsRegion the function's own when absent.
 * @returns the key's ARN.
 * @throws KMS's errors.
 */
export async function provideTenantKey(tenantId: string, awsRegion?: string): Promise<string> {
  const { CreateAliasCommand, CreateKeyCommand, EnableKeyRotationCommand } = await import(
    '@aws-sdk/client-kms'
  );
  const client = await kmsClient(awsRegion);
  const known = await findKey(client, tenantId);
  if (known) return known;
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({
      Description: `Strata: encrypted fields of tenant ${tenantId}`,
      KeySpec: 'SYMMETRIC_DEFAULT',
      KeyUsage: 'ENCRYPT_DECRYPT',
      Tags: [COMPONENT, { TagKey: 'strata:tenant-id', TagValue: tenantId }],
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
    const other = await findKey(client, tenantId);
    if (!other) throw error;
    return other;
  }
  return Arn;
}

async function findKey(client: KMSClient, tenantId: string): Promise<string | undefined> {
  const { DescribeKeyCommand } = await import('@aws-sdk/client-kms');
  try {
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: tenantKeyAlias(tenantId) }));
    return KeyMetadata?.Arn;
  } catch (error) {
    if ((error as Error).name === 'NotFoundException') return undefined;
    throw error;
  }
}

/** What KMS answers for keys that are gone or cannot be named any more. */
const isGone = (error: unknown) => (error as Error).name === 'NotFoundException';

/**
 * Schedules the deletion of a tenant's key, and deletes its aliases. From now on nothing can be decrypted with it. May be
 * repeated.
 * @param days until the deletion, 7 to 30.
 * @returns when KMS deletes it; undefined where it is gone already.
 * @throws KMS's errors.
 */
export async function deleteTenantKey(
  keyArn: string,
  tenantId: string,
  days: number,
): Promise<Date | undefined> {
  const { DeleteAliasCommand, DescribeKeyCommand, ScheduleKeyDeletionCommand } = await import(
    '@aws-sdk/client-kms'
  );
  const client = await kmsClient(keyArn.split(':')[3]);
  try {
    const alias = await client.send(new DescribeKeyCommand({ KeyId: tenantKeyAlias(tenantId) }));
    if (alias.KeyMetadata?.Arn === keyArn)
      await client.send(new DeleteAliasCommand({ AliasName: tenantKeyAlias(tenantId) }));
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  try {
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: keyArn }));
    if (KeyMetadata?.KeyState === 'PendingDeletion') return KeyMetadata.DeletionDate;
    const { DeletionDate } = await client.send(
      new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: days }),
    );
    return DeletionDate;
  } catch (error) {
    if (!isGone(error)) throw error;
    return undefined;
  }
}
