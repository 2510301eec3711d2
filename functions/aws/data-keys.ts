/**
 * Data keys of AWS KMS. Each one is bound to a tenant by the encryption context `{ tenantId }`: KMS unwraps it only under
 * the same context, and CloudTrail records the tenant of each call.
 */
import { kmsClient } from './clients.ts';
import { KeyUnavailable, WrappedKeyInvalid } from './errors.ts';
import { copyIn, isMultiRegion, regionOfKey } from './key-copies.ts';

export interface DataKey {
  /** 32 bytes. The caller overwrites them when it has made a key object of them. */
  readonly plaintext: Buffer;
  /** The same key, encrypted by the KMS key: only KMS can unwrap it. */
  readonly wrapped: Buffer;
}

/** KMS's errors for a wrapped key that it did not make, or made under another context. */
const INVALID = new Set(['InvalidCiphertextException', 'IncorrectKeyException']);
/** KMS's errors for a key that is not in its region. Rights on copies are bound to their tag, so none is a denial, too. */
const NO_COPY = new Set(['NotFoundException', 'AccessDeniedException']);

/** @throws {KeyUnavailable} */
export async function generateDataKey(keyArn: string, tenantId: string): Promise<DataKey> {
  return calling(async () => {
    const { GenerateDataKeyCommand } = await import('@aws-sdk/client-kms');
    const client = await kmsClient(regionOfKey(keyArn));
    const answer = await client.send(
      new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_256', EncryptionContext: { tenantId } }),
    );
    return { plaintext: ownBuffer(answer.Plaintext), wrapped: ownBuffer(answer.CiphertextBlob) };
  });
}

/**
 * The key of another region is asked only where this region has no copy of it: that region may be lost.
 * @returns the plaintext, 32 bytes.
 * @throws {KeyUnavailable | WrappedKeyInvalid}
 */
export async function unwrapDataKey(keyArn: string, wrapped: Buffer, tenantId: string): Promise<Buffer> {
  return calling(async () => {
    const { DecryptCommand } = await import('@aws-sdk/client-kms');
    const decrypt = async (keyId: string) => {
      const client = await kmsClient(regionOfKey(keyId));
      const { Plaintext } = await client.send(
        new DecryptCommand({ KeyId: keyId, CiphertextBlob: wrapped, EncryptionContext: { tenantId } }),
      );
      return ownBuffer(Plaintext);
    };
    const { AWS_REGION: own } = process.env;
    if (own !== undefined && isMultiRegion(keyArn) && regionOfKey(keyArn) !== own) {
      try {
        return await decrypt(copyIn(own, keyArn));
      } catch (error) {
        if (!NO_COPY.has((error as Error).name)) throw error;
      }
    }
    return decrypt(keyArn);
  });
}

async function calling<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (cause) {
    throw INVALID.has((cause as Error).name)
      ? new WrappedKeyInvalid({ cause })
      : new KeyUnavailable({ cause });
  }
}

function ownBuffer(bytes: Uint8Array | undefined): Buffer {
  if (!bytes) throw new TypeError('KMS answered without a key');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
