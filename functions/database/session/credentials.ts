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

/** Reads database credentials from Secrets Manager and remembers them for this container's life. */
export class CredentialStore implements CredentialSource {
  #client: Promise<SecretsManagerClient> | undefined;
  readonly #known: LRUCache<string, Credentials>;

  constructor({ cap = 500, ttlMs = 15 * 60_000 }: { cap?: number; ttlMs?: number } = {}) {
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
    this.#client ??= Promise.resolve(new SecretsManagerClient({}));
    const { SecretString } = await (await this.#client).send(
      new GetSecretValueCommand({ SecretId: secretArn }),
    );
    const { username, password } = JSON.parse(SecretString ?? '{}') as Partial<Credentials>;
    if (!username || !password) throw new Error('the secret holds no username and password');
    return { username, password };
  }
}
