/**
 * Data keys of AWS KMS. Each one is bound to a tenant by the encryption context `{ tenantId }`: KMS unwraps it only under
 * the same context, and CloudTrail records the tenant of each call.
 */
import { kmsClient } from './clients.ts';
import { KeyUnavailable, WrappedKeyInvalid } from './errors.ts';

export interface DataKey {
  /** 32 bytes. The caller overwrites them when it has made a key object of them. */
  readonly plaintext: Buffer;
  /** The same key, encrypted by the KMS key: only KMS can unwrap it. */
  readonly wrapped: Buffer;
}

/** KMS's errors for a wrapped key that it did not make, or made under another context. */
const INVALID = new Set(['InvalidCiphertextException', 'IncorrectKeyException']);

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

/** @returns the plaintext, 32 bytes. @throws {KeyUnavailable | WrappedKeyInvalid} */
export async function unwrapDataKey(keyArn: string, wrapped: Buffer, tenantId: string): Promise<Buffer> {
  return calling(async () => {
    const { DecryptCommand } = await import('@aws-sdk/client-kms');
    const client = await kmsClient(regionOfKey(keyArn));
    const { Plaintext } = await client.send(
      new DecryptCommand({ KeyId: keyArn, CiphertextBlob: wrapped, EncryptionContext: { tenantId } }),
    );
    return ownBuffer(Plaintext);
  });
}

/** The region in `arn:aws:kms:<region>:<account>:key/<id>`: a key is used in its own region only. */
export const regionOfKey = (keyArn: string): string | undefined => keyArn.split(':')[3] || undefined;

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
