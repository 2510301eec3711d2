/**
 * RSASSA-PSS (RFC 8017, 8.1) over a SHA-256 digest that is given, which Node does not offer: it hashes what it signs. KMS
 * takes digests, with a salt as long as the digest. RSA itself is OpenSSL's.
 */
import {
  constants,
  createHash,
  type KeyObject,
  privateEncrypt,
  publicDecrypt,
  randomBytes,
} from 'node:crypto';

const HASH_BYTES = 32;
const PADDING = constants.RSA_NO_PADDING;
/** Bits of the encoded message: one less than the modulus of a key of 2,048 has. */
const ENCODED_BITS = 2_047;
const ENCODED_BYTES = Math.ceil(ENCODED_BITS / 8);
const MASKED_BYTES = ENCODED_BYTES - HASH_BYTES - 1;

const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

/** MGF1 (B.2.1). */
function mask(seed: Buffer, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let counter = 0; counter * HASH_BYTES < length; counter++) {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(counter);
    blocks.push(sha256(seed, count));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

const xor = (one: Buffer, other: Buffer) => Buffer.from(one.map((byte, index) => byte ^ other[index]!));
const hashOf = (digest: Buffer, salt: Buffer) => sha256(Buffer.alloc(8), digest, salt);

/** @param key private, of 2,048 bits. */
export function signPss(key: KeyObject, digest: Buffer): Buffer {
  const salt = randomBytes(HASH_BYTES);
  const hash = hashOf(digest, salt);
  const padding = Buffer.alloc(MASKED_BYTES - HASH_BYTES - 1);
  const masked = xor(Buffer.concat([padding, Buffer.from([1]), salt]), mask(hash, MASKED_BYTES));
  masked[0] = masked[0]! & 0x7f;
  return privateEncrypt({ key, padding: PADDING }, Buffer.concat([masked, hash, Buffer.from([0xbc])]));
}

/** @param key public, of 2,048 bits. */
export function verifyPss(key: KeyObject, digest: Buffer, signature: Buffer): boolean {
  if (signature.length !== ENCODED_BYTES) return false;
  const encoded = publicDecrypt({ key, padding: PADDING }, signature);
  const [masked, hash] = [encoded.subarray(0, MASKED_BYTES), encoded.subarray(MASKED_BYTES, -1)];
  if (encoded.at(-1) !== 0xbc || (masked[0]! & 0x80) !== 0) return false;
  const block = xor(masked, mask(hash, MASKED_BYTES));
  block[0] = block[0]! & 0x7f;
  const salt = block.subarray(-HASH_BYTES);
  const padding = block.subarray(0, -HASH_BYTES);
  if (padding.at(-1) !== 1 || padding.subarray(0, -1).some((byte) => byte !== 0)) return false;
  return hashOf(digest, salt).equals(hash);
}
