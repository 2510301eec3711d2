/**
 * The binary format of an encrypted value, version 1. Numbers are big-endian.
 *
 *   offset  bytes
 *   0       1    version: 1
 *   1       16   id of the value: random, made when a client writes the value, kept when it is encrypted again
 *   17      16   id of the tenant
 *   33      4    when the data key was made, in seconds since 1970
 *   37      1    n
 *   38      n    ARN of the KMS key that wraps the data key, ASCII
 *   38+n    2    m
 *   40+n    m    the wrapped data key, as KMS made it
 *   40+n+m  12   nonce, random
 *   …       32k  ciphertext of the padded text (AES-256-GCM)
 *   …       16   tag
 *
 * Everything before the nonce is the header. It is authenticated together with the place of the value: tenant, table,
 * column and row. The text is UTF-8, then a byte 0x80, then zeros up to a multiple of 32 bytes, so that the length of a
 * salary or a number does not show.
 *
 * Released versions never change: a backup of seven years ago has to be readable.
 */
import { EncryptedValueDamaged } from './errors.ts';

/** What tells how to open the value. */
export interface ValueHeader {
  /** 16 bytes. */
  readonly valueId: Buffer;
  readonly tenantId: string;
  /** Of the data key, in seconds since 1970. */
  readonly madeAt: number;
  /** Of the KMS key. */
  readonly keyArn: string;
  readonly wrappedKey: Buffer;
}

export interface EncryptedValue extends ValueHeader {
  /** The header's bytes, which are authenticated. */
  readonly header: Buffer;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

export const VERSION = 1;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
const ID_BYTES = 16;
const VALUE_ID_AT = 1;
const TENANT_AT = VALUE_ID_AT + ID_BYTES;
const MADE_AT = TENANT_AT + ID_BYTES;
const KEY_AT = MADE_AT + 4;
const BLOCK_BYTES = 32;

export function writeHeader({ valueId, tenantId, madeAt, keyArn, wrappedKey }: ValueHeader): Buffer {
  const arn = Buffer.from(keyArn, 'ascii');
  const time = Buffer.alloc(4);
  time.writeUInt32BE(madeAt);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(wrappedKey.length);
  return Buffer.concat([
    Buffer.from([VERSION]),
    valueId,
    idBytes(tenantId),
    time,
    Buffer.from([arn.length]),
    arn,
    length,
    wrappedKey,
  ]);
}

/** @throws {EncryptedValueDamaged} the bytes do not have this format. */
export function readValue(bytes: Buffer): EncryptedValue {
  if (bytes[0] !== VERSION) throw new EncryptedValueDamaged('the value has an unknown version');
  const arnLength = bytes[KEY_AT] ?? 0;
  const wrappedAt = KEY_AT + 1 + arnLength + 2;
  if (bytes.length < wrappedAt) throw new EncryptedValueDamaged('the value is too short');
  const wrappedLength = bytes.readUInt16BE(wrappedAt - 2);
  const headerEnd = wrappedAt + wrappedLength;
  const bodyAt = headerEnd + NONCE_BYTES;
  if (bytes.length < bodyAt + BLOCK_BYTES + TAG_BYTES) {
    throw new EncryptedValueDamaged('the value is too short');
  }
  return {
    valueId: bytes.subarray(VALUE_ID_AT, TENANT_AT),
    tenantId: idText(bytes.subarray(TENANT_AT, MADE_AT)),
    madeAt: bytes.readUInt32BE(MADE_AT),
    keyArn: bytes.toString('ascii', KEY_AT + 1, KEY_AT + 1 + arnLength),
    wrappedKey: bytes.subarray(wrappedAt, headerEnd),
    header: bytes.subarray(0, headerEnd),
    nonce: bytes.subarray(headerEnd, bodyAt),
    ciphertext: bytes.subarray(bodyAt, bytes.length - TAG_BYTES),
    tag: bytes.subarray(bytes.length - TAG_BYTES),
  };
}

/** Parts of the format that a statement compares: bytes counted from 1, as `substring` counts. */
export const COMPARED = {
  tenant: { from: TENANT_AT + 1, bytes: idBytes },
  madeAt: { from: MADE_AT + 1, length: 4 },
  /** The length of the ARN and the ARN. */
  key: {
    from: KEY_AT + 1,
    bytes: (keyArn: string) => Buffer.from([keyArn.length, ...Buffer.from(keyArn, 'ascii')]),
  },
} as const;

/** The bytes of a time as the format has them: they sort as the times do. */
export function timeBytes(seconds: number): Buffer {
  const bytes = Buffer.alloc(COMPARED.madeAt.length);
  bytes.writeUInt32BE(Math.max(0, Math.floor(seconds)));
  return bytes;
}

export function padded(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const block = Buffer.alloc(Math.ceil((bytes.length + 1) / BLOCK_BYTES) * BLOCK_BYTES);
  bytes.copy(block);
  block[bytes.length] = 0x80;
  return block;
}

/** @throws {EncryptedValueDamaged} there is no padding. */
export function unpadded(block: Buffer): string {
  const end = block.lastIndexOf(0x80);
  if (end < 0) throw new EncryptedValueDamaged('the value has no padding');
  return block.toString('utf8', 0, end);
}

function idBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function idText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
