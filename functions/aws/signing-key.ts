/** Signatures by an asymmetric key of KMS (RSA_2048, RSASSA-PSS), which anyone can verify with its public key. */
import { kmsClient } from './clients.ts';

export interface Signature {
  /** ARN of the key. */
  readonly keyId: string;
  readonly algorithm: 'RSASSA_PSS_SHA_256';
  /** Base64. */
  readonly value: string;
}

/** @param digest SHA-256 of the text, 32 bytes. @throws KMS's errors. */
export async function signDigest(keyArn: string, digest: Buffer): Promise<Signature> {
  const { SignCommand } = await import('@aws-sdk/client-kms');
  const client = await kmsClient(keyArn.split(':')[3]);
  const { Signature: bytes, KeyId } = await client.send(
    new SignCommand({
      KeyId: keyArn,
      Message: digest,
      MessageType: 'DIGEST',
      SigningAlgorithm: 'RSASSA_PSS_SHA_256',
    }),
  );
  if (!bytes) throw new TypeError('KMS answered without a signature');
  return {
    keyId: KeyId ?? keyArn,
    algorithm: 'RSASSA_PSS_SHA_256',
    value: Buffer.from(bytes).toString('base64'),
  };
}

/** @returns base64 of the DER form (SubjectPublicKeyInfo). @throws KMS's errors. */
export async function publicKeyOf(keyArn: string): Promise<string> {
  const { GetPublicKeyCommand } = await import('@aws-sdk/client-kms');
  const client = await kmsClient(keyArn.split(':')[3]);
  const { PublicKey } = await client.send(new GetPublicKeyCommand({ KeyId: keyArn }));
  if (!PublicKey) throw new TypeError('KMS answered without a public key');
  return Buffer.from(PublicKey).toString('base64');
}
