/**
 * The certificate of an erasure: what was removed where and when, and what a policy keeps and until when. It is a document
 * that is verified without this platform: `signature.value` signs the SHA-256 of the certificate's canonical JSON.
 *
 * Canonical JSON is RFC 8785's for what certificates have (texts, whole numbers, null, lists, objects): names of members in
 * the order of their UTF-16 units, no white space, UTF-8.
 */
import { constants, createHash, createPublicKey, verify } from 'node:crypto';

export const CERTIFICATE_FORMAT = 'strata-erasure-certificate';
export const CERTIFICATE_VERSION = 1;

export interface ErasedStore {
  /** Such as `database us-1` or `objects of bucket strata-us-backups`. */
  readonly store: string;
  readonly region: string;
  /** What was found before the erasure, by kind. */
  readonly removed: readonly { readonly what: string; readonly count: number }[];
  /** RFC 3339, as all times here. */
  readonly foundAt: string;
  /** When a search found nothing more but what `kept` lists. */
  readonly verifiedAt: string;
  readonly verifiedBy: string;
}

export interface KeptStore {
  readonly store: string;
  readonly region: string;
  readonly what: string;
  /** null where it is not counted. */
  readonly count: number | null;
  /** When it is gone; null where it stays. */
  readonly until: string | null;
  readonly why: string;
}

export interface ErasureCertificate {
  readonly format: typeof CERTIFICATE_FORMAT;
  readonly version: typeof CERTIFICATE_VERSION;
  readonly certificateId: string;
  readonly tenantId: string;
  readonly slug: string;
  readonly region: string;
  readonly cause: 'request' | 'subscription';
  readonly requestedAt: string;
  readonly graceUntil: string | null;
  readonly erasureBegunAt: string;
  readonly issuedAt: string;
  /** The archive that the customer could load until the erasure; null for a tenant without data. */
  readonly finalExport: {
    readonly exportId: string;
    readonly snapshotAt: string | null;
    readonly rows: number | null;
    readonly bytes: number | null;
    readonly sha256: string | null;
  } | null;
  readonly erased: readonly ErasedStore[];
  readonly kept: readonly KeptStore[];
}

export interface SignedCertificate {
  readonly certificate: ErasureCertificate;
  readonly signature: {
    readonly algorithm: 'RSASSA_PSS_SHA_256';
    readonly keyId: string;
    /** Base64. */
    readonly value: string;
  };
  /** Base64 of the DER form (SubjectPublicKeyInfo) of the key's public part. */
  readonly publicKey: string;
  /** SHA-256 of it, hexadecimal: compare it with the one that the platform's operator has published. */
  readonly publicKeySha256: string;
}

/** @throws {TypeError} for a value that certificates do not have. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isSafeInteger(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  throw new TypeError('a certificate has texts, whole numbers, null, lists and objects only');
}

/** KMS's salt is as long as the digest. */
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };

/** SHA-256 of the canonical JSON. */
export function certificateDigest(certificate: unknown): Buffer {
  return createHash('sha256').update(canonicalJson(certificate), 'utf8').digest();
}

/** SHA-256 of a public key in base64, hexadecimal. */
export function fingerprintOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex');
}

/**
 * Why a signed certificate is not genuine; undefined when it is.
 * @param publicKey PEM, or base64 of the DER form, from a source that the reader trusts; the document's own when absent,
 * which proves only that the certificate was not changed since somebody signed it.
 */
export function forgeryOf(
  signed: SignedCertificate,
  publicKey: string = signed?.publicKey,
): string | undefined {
  const { certificate, signature } = signed ?? {};
  if (certificate?.format !== CERTIFICATE_FORMAT) return 'it is no erasure certificate';
  if (certificate.version !== CERTIFICATE_VERSION) return `its version ${certificate.version} is not known`;
  if (signature?.algorithm !== 'RSASSA_PSS_SHA_256') return 'its signature has another algorithm';
  try {
    if (fingerprintOf(signed.publicKey) !== signed.publicKeySha256)
      return 'its fingerprint is not that of its key';
    const key = publicKey.includes('-----BEGIN')
      ? createPublicKey(publicKey)
      : createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    const text = Buffer.from(canonicalJson(certificate), 'utf8');
    const isGenuine = verify('sha256', text, { key, ...PSS }, Buffer.from(signature.value, 'base64'));
    return isGenuine ? undefined : 'its signature is not that of the key';
  } catch (error) {
    return `it cannot be verified: ${(error as Error).message}`;
  }
}
