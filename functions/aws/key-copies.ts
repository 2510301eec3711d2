/**
 * Copies of KMS keys in a second AWS region, for the time when the first one is lost: multi-Region keys, of which a copy
 * (AWS: a replica) has the same id and material, and decrypts what the first one has encrypted.
 */
import { FIELD_KEY_COPY, TENANT_ID_TAG } from '../contracts/key-tags.ts';
import { kmsClient } from './clients.ts';

/** Only a multi-Region key can have copies. A key is made as one, or never becomes one. */
export const isMultiRegion = (keyArn: string): boolean => keyArn.includes(MULTI_REGION);

const MULTI_REGION = ':key/mrk-';
/** The same as a pattern of LIKE. */
export const MULTI_REGION_KEYS = `%${MULTI_REGION}%`;

/** The region in `arn:aws:kms:<region>:<account>:key/<id>`: a key is used in its own region only. */
export const regionOfKey = (keyArn: string): string | undefined => keyArn.split(':')[3] || undefined;

/** ARN of the copy that a multi-Region key has, or may have, in another AWS region. */
export function copyIn(awsRegion: string, keyArn: string): string {
  const parts = keyArn.split(':');
  parts[3] = awsRegion;
  return parts.join(':');
}

/**
 * Makes the copy of a multi-Region key, which becomes usable after some seconds. May be repeated.
 * @param keyArn of the key in the function's own region.
 * @param tenantId whose key it is; undefined for the key of a region.
 * @throws KMS's errors.
 */
export async function copyKey(
  keyArn: string,
  awsRegion: string,
  tenantId: string | undefined,
): Promise<void> {
  const { ReplicateKeyCommand } = await import('@aws-sdk/client-kms');
  const client = await kmsClient(regionOfKey(keyArn));
  const whose = tenantId === undefined ? 'tenants' : `tenant ${tenantId}`;
  try {
    await client.send(
      new ReplicateKeyCommand({
        KeyId: keyArn,
        ReplicaRegion: awsRegion,
        Description: `Strata: encrypted fields of ${whose}, for backups after a loss of the other region`,
        Tags: [
          FIELD_KEY_COPY,
          ...(tenantId === undefined ? [] : [{ TagKey: TENANT_ID_TAG, TagValue: tenantId }]),
        ],
      }),
    );
  } catch (error) {
    if ((error as Error).name !== 'AlreadyExistsException') throw error;
  }
}
