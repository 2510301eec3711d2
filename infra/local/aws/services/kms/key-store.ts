import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
} from 'node:crypto';
import { LOCAL_ACCOUNT, type StateFile } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Tag } from '../../tags.ts';
import { signPss, verifyPss } from './pss.ts';

/** A symmetric key, or a pair of keys that signs. */
export type KeySpec = 'SYMMETRIC_DEFAULT' | 'RSA_2048';

/**
 * A key. Its material never leaves this module.
 *
 *   enabled ⇄ disabled; either ──deletion scheduled──▶ pending deletion ──cancelled──▶ disabled
 *                                                     pending deletion ──time is over──▶ gone, and what it encrypted
 *
 * A multi-Region key has the same id and material in several regions: one is the primary, the others are replicas. The
 * deletion of a primary waits for its replicas: pending replica deletion ──the last replica is gone──▶ pending deletion.
 */
export interface Key {
  keyId: string;
  arn: string;
  region: string;
  description: string;
  /** Absent: symmetric. */
  spec?: KeySpec;
  /** Region of the primary, which may be this key's own. Absent: a key of one region. */
  primaryRegion?: string;
  /** From the template, or from `CreateKey`. Of a template it is not stored: every start deploys the template again. */
  policy?: unknown;
  createdDate: number;
  /** Absent: enabled. */
  state?: 'Disabled' | 'PendingDeletion' | 'PendingReplicaDeletion';
  /** Epoch milliseconds. */
  deletionDate?: number;
  /** Of a primary that waits for its replicas. */
  deletionDays?: number;
  rotates?: boolean;
  tags?: Tag[];
  /** Made by a call, not by a template. */
  atRunTime?: boolean;
  /** Aliases that were made by a call. */
  aliases?: string[];
}

interface StoredKey extends Key {
  material: string;
}

const DOCUMENT = 'kms';
const DAY = 86_400_000;
/** First byte of a ciphertext. 16 bytes of the key's id follow: a UUID, or what a multi-Region key has behind `mrk-`. */
const FORMAT = 1;
const MULTI_REGION_FORMAT = 2;

/** The keys of the deployed stacks, and those made by calls. The document has key material: in the state directory only its owner may read it. */
export class KeyStore {
  readonly #state: StateFile;
  /** By region and id, as `us-east-1 4f1c…`. */
  readonly #keys = new Map<string, Key>();
  /** By id. */
  readonly #material = new Map<string, Buffer>();
  /** Ids by region and name. */
  readonly #aliases = new Map<string, string>();

  constructor(state: StateFile) {
    this.#state = state;
    for (const { material, ...key } of state.load<StoredKey[]>(DOCUMENT, [])) {
      this.#put(key);
      this.#material.set(key.keyId, Buffer.from(material, 'base64'));
      for (const name of key.aliases ?? []) this.#aliases.set(`${key.region} ${name}`, key.keyId);
    }
  }

  /** A key of its own for each call. */
  create(
    fields: Pick<Key, 'region' | 'description' | 'policy' | 'tags'> & { readonly multiRegion: boolean },
  ): Key {
    const { multiRegion, ...rest } = fields;
    const keyId = multiRegion ? `mrk-${randomUUID().replaceAll('-', '')}` : randomUUID();
    const key: Key = {
      ...rest,
      ...(multiRegion ? { primaryRegion: rest.region } : {}),
      keyId,
      arn: arnOf(rest.region, keyId),
      createdDate: Date.now(),
      atRunTime: true,
    };
    this.#put(key);
    this.#material.set(keyId, randomBytes(32));
    this.#save();
    return key;
  }

  /** @throws {AwsError} UnsupportedOperationException for another key than a primary, or AlreadyExistsException */
  replicate(primary: Key, fields: Pick<Key, 'region' | 'description' | 'policy' | 'tags'>): Key {
    if (primary.primaryRegion !== primary.region) {
      throw new AwsError(
        'UnsupportedOperationException',
        `${primary.arn} is not a multi-Region primary key.`,
      );
    }
    const arn = arnOf(fields.region, primary.keyId);
    if (this.#keys.has(`${fields.region} ${primary.keyId}`)) {
      throw new AwsError('AlreadyExistsException', `${arn} already exists.`);
    }
    const { keyId, primaryRegion, rotates } = primary;
    const replica: Key = {
      ...fields,
      keyId,
      arn,
      primaryRegion,
      ...(rotates === undefined ? {} : { rotates }),
      createdDate: Date.now(),
      atRunTime: true,
    };
    this.#put(replica);
    this.#save();
    return replica;
  }

  /** The primary of a multi-Region key first, then its replicas; the key alone otherwise. */
  related({ keyId, primaryRegion }: Key): Key[] {
    const all = [...this.#keys.values()].filter((key) => key.keyId === keyId);
    return all.sort((a, b) => Number(b.region === primaryRegion) - Number(a.region === primaryRegion));
  }

  /** The waiting time of a primary begins when it has no replica. */
  scheduleDeletion(key: Key, days: number): void {
    if (key.primaryRegion === key.region && this.related(key).length > 1) {
      this.change(key, { state: 'PendingReplicaDeletion', deletionDays: days });
    } else this.change(key, { state: 'PendingDeletion', deletionDate: Date.now() + days * DAY });
  }

  /** Changes a key and keeps the change. */
  change(key: Key, fields: Partial<Omit<Key, 'keyId' | 'arn' | 'region'>>): void {
    Object.assign(key, fields);
    this.#save();
  }

  /** Makes the key, or finds the one with this id and its material. */
  provide(key: Omit<Key, 'arn' | 'createdDate'>): Key {
    const existing = this.#keys.get(`${key.region} ${key.keyId}`);
    const provided: Key = {
      ...existing,
      ...key,
      arn: arnOf(key.region, key.keyId),
      createdDate: existing?.createdDate ?? Date.now(),
    };
    this.#put(provided);
    if (!existing) {
      this.#material.set(key.keyId, materialOf(key.spec));
      this.#save();
    }
    return provided;
  }

  alias(name: string, region: string, keyId: string): void {
    this.#aliases.set(`${region} ${name}`, this.get(keyId, region).keyId);
  }

  /** @throws {AwsError} AlreadyExistsException */
  createAlias(name: string, key: Key): void {
    if (this.#aliases.has(`${key.region} ${name}`)) {
      const arn = `arn:aws:kms:${key.region}:${LOCAL_ACCOUNT}:${name}`;
      throw new AwsError('AlreadyExistsException', `An alias with the name ${arn} already exists`);
    }
    this.#aliases.set(`${key.region} ${name}`, key.keyId);
    this.change(key, { aliases: [...(key.aliases ?? []), name] });
  }

  /** @throws {AwsError} NotFoundException */
  deleteAlias(name: string, region: string): void {
    const key = this.get(name, region);
    this.#aliases.delete(`${region} ${name}`);
    this.change(key, { aliases: (key.aliases ?? []).filter((one) => one !== name) });
  }

  /** Names of a key's aliases, whether a template or a call made them. */
  aliasesOf({ keyId, region }: Key): string[] {
    return [...this.#aliases]
      .filter(([name, id]) => id === keyId && name.startsWith(`${region} `))
      .map(([name]) => name.slice(region.length + 1));
  }

  /** @throws {AwsError} DisabledException or KMSInvalidStateException, when the key may not encrypt or decrypt now */
  requireUsable({ arn, state }: Key): void {
    if (state === 'Disabled') throw new AwsError('DisabledException', `${arn} is disabled.`);
    if (state !== undefined) throw new AwsError('KMSInvalidStateException', `${arn} is pending deletion.`);
  }

  /** By key id, key ARN, alias or alias ARN. @throws {AwsError} NotFoundException, also for a key of another region */
  get(keyId: string, region: string): Key {
    const parts = keyId.split(':');
    const [where, name] = keyId.startsWith('arn:') ? [parts[3]!, parts[5] ?? ''] : [region, keyId];
    const id = name.startsWith('alias/') ? this.#aliases.get(`${where} ${name}`) : name.replace(/^key\//, '');
    this.#expire();
    const key = id === undefined ? undefined : this.#keys.get(`${where} ${id}`);
    if (where !== region || !key) {
      throw new AwsError(
        'NotFoundException',
        `${name.startsWith('alias/') ? 'Alias' : 'Key'} '${keyId}' does not exist`,
      );
    }
    return key;
  }

  /** AES-256-GCM; the blob contains its key's id, and the encryption context is authenticated. */
  encrypt(key: Key, plaintext: Buffer, context: Record<string, unknown>): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#material.get(key.keyId)!, nonce);
    cipher.setAAD(canonical(context));
    const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const id = Buffer.from(key.keyId.replace(/^mrk-/, '').replaceAll('-', ''), 'hex');
    const format = key.primaryRegion === undefined ? FORMAT : MULTI_REGION_FORMAT;
    return Buffer.concat([Buffer.from([format]), id, nonce, cipher.getAuthTag(), body]);
  }

  /** The key a blob was made with. @throws {AwsError} InvalidCiphertextException, also in another region than the key's */
  keyOf(blob: Buffer, region: string): Key {
    const hex = blob.subarray(1, 17).toString('hex');
    const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const keyId = blob[0] === MULTI_REGION_FORMAT ? `mrk-${hex}` : uuid;
    this.#expire();
    const key = this.#keys.get(`${region} ${keyId}`);
    if (!key) {
      throw new AwsError('InvalidCiphertextException', 'The ciphertext is invalid');
    }
    return key;
  }

  /** @throws {AwsError} InvalidCiphertextException when blob or context differ from those of the encryption */
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

  /** RSASSA-PSS. @param digest SHA-256. */
  sign(key: Key, digest: Buffer): Buffer {
    return signPss(this.#privateKey(key), digest);
  }

  verify(key: Key, digest: Buffer, signature: Buffer): boolean {
    return verifyPss(createPublicKey(this.#privateKey(key)), digest, signature);
  }

  /** SubjectPublicKeyInfo, in its DER form. */
  publicKey(key: Key): Buffer {
    return createPublicKey(this.#privateKey(key)).export({ format: 'der', type: 'spki' });
  }

  #privateKey(key: Key) {
    return createPrivateKey({ key: this.#material.get(key.keyId)!, format: 'der', type: 'pkcs8' });
  }

  #expire(): void {
    const gone = [...this.#keys.values()].filter(({ deletionDate = Infinity }) => deletionDate < Date.now());
    for (const key of gone) {
      for (const name of this.aliasesOf(key)) this.#aliases.delete(`${key.region} ${name}`);
      this.#keys.delete(`${key.region} ${key.keyId}`);
      const [left, ...others] = this.related(key);
      if (!left) this.#material.delete(key.keyId);
      if (left?.state === 'PendingReplicaDeletion' && others.length === 0) {
        this.scheduleDeletion(left, left.deletionDays ?? 30);
      }
    }
    if (gone.length > 0) this.#save();
  }

  #put(key: Key): void {
    this.#keys.set(`${key.region} ${key.keyId}`, key);
  }

  #save(): void {
    const stored: StoredKey[] = [...this.#keys.values()].map(({ policy, ...key }) => ({
      ...key,
      ...(key.atRunTime && policy !== undefined ? { policy } : {}),
      material: this.#material.get(key.keyId)!.toString('base64'),
    }));
    this.#state.save(DOCUMENT, stored);
  }
}

const arnOf = (region: string, keyId: string) => `arn:aws:kms:${region}:${LOCAL_ACCOUNT}:key/${keyId}`;

function materialOf(spec: KeySpec = 'SYMMETRIC_DEFAULT'): Buffer {
  if (spec === 'SYMMETRIC_DEFAULT') return randomBytes(32);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return privateKey.export({ format: 'der', type: 'pkcs8' });
}

function canonical(context: Record<string, unknown>): Buffer {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1));
  return Buffer.from(JSON.stringify(pairs));
}
