import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { LOCAL_ACCOUNT, type StateFile } from '../../../model.ts';
import { AwsError } from '../../errors.ts';

/** A symmetric key. Its material never leaves this module. */
export interface Key {
  keyId: string;
  arn: string;
  region: string;
  description: string;
  /** From the template; not persisted, since every start deploys the template again. */
  policy?: unknown;
  createdDate: number;
}

interface StoredKey extends Omit<Key, 'policy'> {
  material: string;
}

const DOCUMENT = 'kms';
const FORMAT = 1;

/**
 * Keys of the deployed stacks. The document holds key material: the state directory keeps it readable to its
 * owner alone.
 */
export class KeyStore {
  readonly #state: StateFile;
  readonly #keys = new Map<string, Key>();
  readonly #material = new Map<string, Buffer>();
  readonly #aliases = new Map<string, string>();

  constructor(state: StateFile) {
    this.#state = state;
    for (const { material, ...key } of state.load<StoredKey[]>(DOCUMENT, [])) {
      this.#keys.set(key.keyId, key);
      this.#material.set(key.keyId, Buffer.from(material, 'base64'));
    }
  }

  /** Makes the key, or finds the one with this id again with its material. */
  provide(key: Omit<Key, 'arn' | 'createdDate'>): Key {
    const existing = this.#keys.get(key.keyId);
    const provided: Key = {
      ...key,
      arn: `arn:aws:kms:${key.region}:${LOCAL_ACCOUNT}:key/${key.keyId}`,
      createdDate: existing?.createdDate ?? Date.now(),
    };
    this.#keys.set(key.keyId, provided);
    if (!existing) {
      this.#material.set(key.keyId, randomBytes(32));
      this.#save();
    }
    return provided;
  }

  alias(name: string, region: string, keyId: string): void {
    this.#aliases.set(`${region} ${name}`, this.get(keyId, region).keyId);
  }

  /** By key id, key ARN, alias or alias ARN. @throws {AwsError} NotFoundException, also for a key of another region */
  get(keyId: string, region: string): Key {
    const parts = keyId.split(':');
    const [where, name] = keyId.startsWith('arn:') ? [parts[3]!, parts[5] ?? ''] : [region, keyId];
    const id = name.startsWith('alias/') ? this.#aliases.get(`${where} ${name}`) : name.replace(/^key\//, '');
    const key = id === undefined ? undefined : this.#keys.get(id);
    if (where !== region || key?.region !== region) {
      throw new AwsError(
        'NotFoundException',
        `${name.startsWith('alias/') ? 'Alias' : 'Key'} '${keyId}' does not exist`,
      );
    }
    return key;
  }

  /** AES-256-GCM; the blob names its key, and the encryption context is authenticated with it. */
  encrypt(key: Key, plaintext: Buffer, context: Record<string, unknown>): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#material.get(key.keyId)!, nonce);
    cipher.setAAD(canonical(context));
    const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const id = Buffer.from(key.keyId.replaceAll('-', ''), 'hex');
    return Buffer.concat([Buffer.from([FORMAT]), id, nonce, cipher.getAuthTag(), body]);
  }

  /** The key a blob was made with. @throws {AwsError} InvalidCiphertextException, also in another region than the key's */
  keyOf(blob: Buffer, region: string): Key {
    const hex = blob.subarray(1, 17).toString('hex');
    const keyId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const key = blob[0] === FORMAT ? this.#keys.get(keyId) : undefined;
    if (key?.region !== region) {
      throw new AwsError('InvalidCiphertextException', 'The ciphertext is invalid');
    }
    return key;
  }

  /** @throws {AwsError} InvalidCiphertextException when blob or context are not those of the encryption */
  decrypt(blob: Buffer, region: string, context: Record<string, unknown>): Buffer {
    const key = this.keyOf(blob, region);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#material.get(key.keyId)!, blob.subarray(17, 29));
      decipher.setAAD(canonical(context));
      decipher.setAuthTag(blob.subarray(29, 45));
      return Buffer.concat([decipher.update(blob.subarray(45)), decipher.final()]);
    } catch {
      throw new AwsError('InvalidCiphertextException', 'The ciphertext is invalid');
    }
  }

  #save(): void {
    const stored: StoredKey[] = [...this.#keys.values()].map(({ policy: _policy, ...key }) => ({
      ...key,
      material: this.#material.get(key.keyId)!.toString('base64'),
    }));
    this.#state.save(DOCUMENT, stored);
  }
}

function canonical(context: Record<string, unknown>): Buffer {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1));
  return Buffer.from(JSON.stringify(pairs));
}
