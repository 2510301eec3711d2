import { LRUCache } from 'lru-cache';
import { secretText } from '../../aws/secrets.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** The source from which pools get the login that a secret holds. */
export interface CredentialSource {
  get(secretArn: string): Promise<Credentials>;
  /** Call when the credentials were refused: the next `get` reads the secret again. */
  forget(secretArn: string): void;
}

/**
 * Reads database credentials from Secrets Manager and caches them. A secret given by its ARN is read in the region that
 * the ARN names. `region` is the AWS region of secrets given by name; the function's own by default.
 */
export class CredentialStore implements CredentialSource {
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
      // A rotated password is read again after this time at the latest, and at once when the old one is refused.
      ttl: ttlMs,
      // A `forget` during a read does not fail the callers that wait for that read.
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
    return parseCredentials(await secretText(secretArn, regionOfArn(secretArn) ?? this.#region));
  }
}

/**
 * The credentials that a secret's current ones have replaced.
 * @param region AWS region of a secret given by name; the function's own by default.
 * @throws Secrets Manager's own error, also when there are none.
 */
export async function previousCredentials(secretArn: string, region?: string): Promise<Credentials> {
  return parseCredentials(await secretText(secretArn, regionOfArn(secretArn) ?? region, 'AWSPREVIOUS'));
}

/** The parser's message would quote the text, so the error has none of it. */
function parseCredentials(text: string | undefined): Credentials {
  let value: Partial<Credentials> | undefined;
  try {
    value = JSON.parse(text ?? '{}');
  } catch {
    // Reported below.
  }
  const { username, password } = value ?? {};
  if (!username || !password) throw new Error('the secret holds no username and password');
  return { username, password };
}

/** The AWS region that an ARN names; undefined for a name, which is one of the caller's own region. */
export function regionOfArn(nameOrArn: string): string | undefined {
  return /^arn:[^:]+:[^:]+:([^:]+):/.exec(nameOrArn)?.[1];
}
