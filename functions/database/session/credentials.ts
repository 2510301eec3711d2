import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { LRUCache } from 'lru-cache';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Where pools get the login of a secret from. */
export interface CredentialSource {
  get(secretArn: string): Promise<Credentials>;
  /** The credentials were refused: the next `get` asks anew. */
  forget(secretArn: string): void;
}

/** A request waits for this: it must learn in time that Secrets Manager does not answer. */
const requestHandler = { connectionTimeout: 2_000, requestTimeout: 4_000, throwOnRequestTimeout: true };

/**
 * Reads database credentials from Secrets Manager and remembers them for this container's life. A secret that is named
 * by its ARN is read where it is; `region` says where those are that are given by name, by default in our own.
 */
export class CredentialStore implements CredentialSource {
  readonly #clients = new Map<string | undefined, SecretsManagerClient>();
  readonly #known: LRUCache<string, Credentials>;
  readonly #region: string | undefined;

  constructor({
    cap = 500,
    ttlMs = 15 * 60_000,
    region,
  }: { cap?: number; ttlMs?: number; region?: string | undefined } = {}) {
    this.#region = region;
    this.#known = new LRUCache({
      max: cap,
      // A rotated password is met twice: at the latest after this time, and at once when the old one is refused.
      ttl: ttlMs,
      // Who asked before somebody else had them forgotten still gets an answer.
      ignoreFetchAbort: true,
      fetchMethod: (secretArn) => this.#read(secretArn),
    });
  }

  /** @throws Secrets Manager's own error (ResourceNotFoundException, AccessDeniedException, …). */
  async get(secretArn: string): Promise<Credentials> {
    const credentials = await this.#known.fetch(secretArn);
    if (!credentials) throw new Error('the secret holds no credentials');
    return credentials;
  }

  forget(secretArn: string): void {
    this.#known.delete(secretArn);
  }

  async #read(secretArn: string): Promise<Credentials> {
    const { SecretsManagerClient, GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
    const region = regionOfArn(secretArn) ?? this.#region;
    let client = this.#clients.get(region);
    if (!client) {
      client = new SecretsManagerClient({ ...(region ? { region } : {}), requestHandler, maxAttempts: 2 });
      this.#clients.set(region, client);
    }
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: secretArn }));
    const { username, password } = JSON.parse(SecretString ?? '{}') as Partial<Credentials>;
    if (!username || !password) throw new Error('the secret holds no username and password');
    return { username, password };
  }
}

/** The AWS region that an ARN names; undefined for a name, which is one of the caller's own region. */
export function regionOfArn(nameOrArn: string): string | undefined {
  return /^arn:[^:]+:[^:]+:([^:]+):/.exec(nameOrArn)?.[1];
}
