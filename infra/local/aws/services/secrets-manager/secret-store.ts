/**
 * The secrets of all regions, kept in one document and written through on every change.
 *
 * States of a secret: live → scheduled (deletedDate set; unreadable, its name still taken) → live (restored)
 * or gone. Gone is also where a forced deletion leads at once.
 * States of a version: it carries stages; AWSCURRENT is on exactly one version, and the one that had it before
 * carries AWSPREVIOUS. A version without stages is forgotten.
 */
import { randomInt } from 'node:crypto';
import { LOCAL_ACCOUNT, type StateFile } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Tag } from '../../tags.ts';

export interface SecretVersion {
  secretString?: string | undefined;
  /** Base64. */
  secretBinary?: string | undefined;
  stages: string[];
  /** Epoch milliseconds, as all times here. */
  createdDate: number;
}

export interface Secret {
  arn: string;
  name: string;
  region: string;
  description?: string | undefined;
  kmsKeyId?: string | undefined;
  tags: Tag[];
  createdDate: number;
  lastChangedDate: number;
  /** When it will be gone, if deletion is scheduled. */
  deletedDate?: number | undefined;
  versions: Record<string, SecretVersion>;
}

export type SecretValue = Pick<SecretVersion, 'secretString' | 'secretBinary'>;

const DOCUMENT = 'secrets';

export class SecretStore {
  readonly #state: StateFile;
  readonly #byArn = new Map<string, Secret>();
  readonly #byName = new Map<string, Secret>();

  constructor(state: StateFile) {
    this.#state = state;
    for (const secret of state.load<Secret[]>(DOCUMENT, [])) this.#index(secret);
  }

  all(): Secret[] {
    this.#expire();
    return [...this.#byArn.values()];
  }

  /** By name, full ARN, or ARN without its random suffix; never one of another region. */
  find(secretId: string, region: string): Secret | undefined {
    this.#expire();
    if (!secretId.startsWith('arn:')) return this.#byName.get(`${region} ${secretId}`);
    const [, , , arnRegion, , , name] = secretId.split(':');
    if (arnRegion !== region) return undefined;
    return this.#byArn.get(secretId) ?? this.#byName.get(`${region} ${name}`);
  }

  /** @throws {AwsError} ResourceNotFoundException */
  get(secretId: string, region: string): Secret {
    const secret = this.find(secretId, region);
    if (!secret) {
      throw new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
    }
    return secret;
  }

  create(fields: Pick<Secret, 'name' | 'region' | 'description' | 'kmsKeyId' | 'tags'>): Secret {
    const now = Date.now();
    const secret: Secret = {
      ...fields,
      arn: `arn:aws:secretsmanager:${fields.region}:${LOCAL_ACCOUNT}:secret:${fields.name}-${randomSuffix()}`,
      createdDate: now,
      lastChangedDate: now,
      versions: {},
    };
    this.#index(secret);
    return secret;
  }

  /** Adds a version and moves the stages to it. */
  addVersion(secret: Secret, versionId: string, value: SecretValue, stages: string[]): void {
    secret.versions[versionId] = { ...value, stages: [], createdDate: Date.now() };
    for (const stage of stages) this.moveStage(secret, stage, versionId);
    secret.lastChangedDate = Date.now();
  }

  /** Gives a stage to one version, or to none; AWSPREVIOUS follows AWSCURRENT. */
  moveStage(secret: Secret, stage: string, versionId: string | undefined): void {
    const previous = versionIdOf(secret, stage);
    if (previous === versionId) return;
    const drop = (id: string | undefined, name: string): void => {
      const version = id === undefined ? undefined : secret.versions[id];
      if (version) version.stages = version.stages.filter((one) => one !== name);
    };
    drop(previous, stage);
    if (versionId !== undefined) secret.versions[versionId]?.stages.push(stage);
    if (stage === 'AWSCURRENT' && previous !== undefined) {
      drop(versionIdOf(secret, 'AWSPREVIOUS'), 'AWSPREVIOUS');
      drop(versionId, 'AWSPREVIOUS');
      secret.versions[previous]?.stages.push('AWSPREVIOUS');
    }
    for (const [id, version] of Object.entries(secret.versions)) {
      if (version.stages.length === 0) delete secret.versions[id];
    }
    secret.lastChangedDate = Date.now();
  }

  remove(secret: Secret): void {
    this.#byArn.delete(secret.arn);
    this.#byName.delete(`${secret.region} ${secret.name}`);
    this.save();
  }

  /** Writes through. Every mutation ends with it, before the caller is answered. */
  save(): void {
    this.#state.save(DOCUMENT, [...this.#byArn.values()]);
  }

  #index(secret: Secret): void {
    this.#byArn.set(secret.arn, secret);
    this.#byName.set(`${secret.region} ${secret.name}`, secret);
  }

  #expire(): void {
    const now = Date.now();
    for (const secret of this.#byArn.values()) {
      if (secret.deletedDate !== undefined && secret.deletedDate <= now) this.remove(secret);
    }
  }
}

export function versionIdOf(secret: Secret, stage: string): string | undefined {
  return Object.keys(secret.versions).find((id) => secret.versions[id]?.stages.includes(stage));
}

const SUFFIX = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function randomSuffix(): string {
  return Array.from({ length: 6 }, () => SUFFIX[randomInt(SUFFIX.length)]).join('');
}
