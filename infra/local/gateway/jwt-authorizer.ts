import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { JwtAuthorizerConfiguration } from './http-api.ts';

export type Authorization =
  | { kind: 'authorized'; claims: Record<string, string>; scopes: string[] | null }
  | { kind: 'unauthorized'; challenge: string }
  | { kind: 'forbidden'; challenge: string };

const cacheSize = 1000;

/** Verifies tokens as API Gateway's JWT authorizer does. */
export class JwtAuthorizer {
  readonly #keySet: (issuer: string) => JWTVerifyGetKey | undefined;
  /** Tokens with verified signatures, oldest first; claims that depend on the time are checked at each use. */
  readonly #verified = new Map<string, JWTPayload>();

  constructor(keySet: (issuer: string) => JWTVerifyGetKey | undefined) {
    this.#keySet = keySet;
  }

  /** @param credential the value at the authorizer's identity source, if the request has one */
  async authorize(
    configuration: JwtAuthorizerConfiguration,
    scopes: string[],
    credential: string | undefined,
  ): Promise<Authorization> {
    if (!credential) return { kind: 'unauthorized', challenge: 'Bearer' };
    const token = credential.replace(/^bearer\s+/i, '').trim();
    let payload: JWTPayload;
    try {
      payload = await this.#verify(configuration, token);
    } catch (cause) {
      const reason = cause instanceof errors.JWTExpired ? 'the token has expired' : 'the token is not valid';
      return {
        kind: 'unauthorized',
        challenge: `Bearer scope="${scopes.join(' ')}" error="invalid_token" error_description="${reason}"`,
      };
    }
    const granted = scopesOf(payload);
    if (scopes.length > 0 && !scopes.some((scope) => granted.includes(scope))) {
      return {
        kind: 'forbidden',
        challenge: `Bearer scope="${scopes.join(' ')}" error="insufficient_scope"`,
      };
    }
    return { kind: 'authorized', claims: claimsOf(payload), scopes: scopes.length > 0 ? granted : null };
  }

  async #verify({ issuer, audience }: JwtAuthorizerConfiguration, token: string): Promise<JWTPayload> {
    const key = `${issuer} ${audience.join()} ${token}`;
    const known = this.#verified.get(key);
    const now = Date.now() / 1000;
    if (known) {
      if (known.exp! > now) return known;
      this.#verified.delete(key);
    }
    const keys = this.#keySet(issuer);
    if (!keys) throw new errors.JWTInvalid('unknown issuer');
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      algorithms: ['RS256', 'RS384', 'RS512'],
      requiredClaims: ['exp'],
    });
    if (payload.iat !== undefined && payload.iat > now) throw new errors.JWTInvalid('issued in the future');
    const named = payload.aud === undefined ? [payload.client_id] : [payload.aud].flat();
    if (!named.some((value) => audience.includes(String(value))))
      throw new errors.JWTInvalid('wrong audience');
    if (this.#verified.size >= cacheSize) this.#verified.delete(this.#verified.keys().next().value!);
    this.#verified.set(key, payload);
    return payload;
  }
}

function scopesOf({ scope, scp }: JWTPayload): string[] {
  const value = scope ?? scp;
  if (Array.isArray(value)) return value.map(String);
  return typeof value === 'string' ? value.split(' ').filter(Boolean) : [];
}

/** API Gateway passes every claim as a string, lists in brackets. */
function claimsOf(payload: JWTPayload): Record<string, string> {
  return Object.fromEntries(Object.entries(payload).map(([name, value]) => [name, claimText(value)]));
}

function claimText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(claimText).join(' ')}]`;
  if (value !== null && typeof value === 'object') return JSON.stringify(value);
  return String(value);
}
