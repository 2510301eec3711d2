import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { WrappedKeyInvalid } from '../aws/errors.ts';
import { DataKeyCache } from './data-key-cache.ts';
import {
  type EncryptedValue,
  NONCE_BYTES,
  padded,
  readValue,
  TAG_BYTES,
  unpadded,
  writeHeader,
} from './encrypted-value.ts';
import { EncryptedValueDamaged } from './errors.ts';

/** The one place where an encrypted value is valid. */
export interface ValuePlace {
  readonly tenantId: string;
  readonly table: string;
  readonly column: string;
  /** The row's own id, or its key as text. */
  readonly row: string;
}

export interface SealOptions {
  /** ARN of the KMS key. */
  readonly keyArn: string;
  /** The data key is made at that time or later, in seconds since 1970. */
  readonly notBefore?: number;
  /** Of the value that is encrypted again: it keeps its id. */
  readonly valueId?: Buffer;
}

const ALGORITHM = 'aes-256-gcm';

/** Encrypts and decrypts single values under data keys of KMS, in the format of `encrypted-value.ts`. */
export class FieldCipher {
  readonly #keys: DataKeyCache;

  constructor(keys: DataKeyCache = new DataKeyCache()) {
    this.#keys = keys;
  }

  /** @throws {KeyUnavailable} */
  async seal(place: ValuePlace, text: string, { keyArn, notBefore, valueId }: SealOptions): Promise<Buffer> {
    const { tenantId } = place;
    const { key, wrapped, madeAt } = await this.#keys.toSeal(tenantId, keyArn, notBefore);
    const header = writeHeader({
      valueId: valueId ?? randomBytes(16),
      tenantId,
      madeAt,
      keyArn,
      wrappedKey: wrapped,
    });
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(authenticated(header, place));
    const ciphertext = Buffer.concat([cipher.update(padded(text)), cipher.final()]);
    return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]);
  }

  /**
   * @throws {EncryptedValueDamaged} the value was altered, or made for another place.
   * @throws {KeyUnavailable}
   */
  async open(place: ValuePlace, bytes: Buffer): Promise<string> {
    return this.#open(place, readValue(bytes));
  }

  /**
   * Encrypts a value again, for the same or another place, under a new data key.
   * @throws {EncryptedValueDamaged | KeyUnavailable}
   */
  async reseal(from: ValuePlace, to: ValuePlace, bytes: Buffer, options: Omit<SealOptions, 'valueId'>) {
    const value = readValue(bytes);
    const text = await this.#open(from, value);
    return this.seal(to, text, { ...options, valueId: value.valueId });
  }

  async #open(place: ValuePlace, value: EncryptedValue): Promise<string> {
    const where = `${place.table}.${place.column} of ${place.row}`;
    if (value.tenantId !== place.tenantId) {
      throw new EncryptedValueDamaged(`${where} was encrypted for another tenant`);
    }
    try {
      const key = await this.#keys.toOpen(place.tenantId, value.keyArn, value.wrappedKey);
      const decipher = createDecipheriv(ALGORITHM, key, value.nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(authenticated(value.header, place));
      decipher.setAuthTag(value.tag);
      return unpadded(Buffer.concat([decipher.update(value.ciphertext), decipher.final()]));
    } catch (cause) {
      if (cause instanceof WrappedKeyInvalid || isMismatch(cause)) {
        throw new EncryptedValueDamaged(`${where} was altered, or encrypted for another place`, { cause });
      }
      throw cause;
    }
  }
}

/** The header and the place. The header's lengths make it unambiguous where it ends. */
function authenticated(header: Buffer, { tenantId, table, column, row }: ValuePlace): Buffer {
  return Buffer.concat([header, Buffer.from(JSON.stringify([tenantId, table, column, row]))]);
}

/** OpenSSL's error for a wrong tag has no code. */
function isMismatch(error: unknown): boolean {
  return error instanceof Error && /unable to authenticate/i.test(error.message);
}
