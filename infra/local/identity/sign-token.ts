import { createHash, randomUUID } from 'node:crypto';
import type { JWK, JWTPayload } from 'jose';

/** The issuer of an API's tokens, and their client. */
export interface AcceptedIssuer {
  issuer: string;
  clientId: string;
}

/** The identity in a token. */
export interface SigningIdentity extends AcceptedIssuer {
  privateKey: JWK;
}

export interface TokenSubject {
  email: string;
  tenantId?: string;
  role?: string;
  scope: string;
}

const lifetimeSeconds = 8 * 3600;

/** An access token in the form of Cognito's pre-token-generation trigger. It is valid for 8 hours. */
export async function signToken(identity: SigningIdentity, subject: TokenSubject): Promise<string> {
  // Loaded here, because most commands that load this package sign nothing.
  const { importJWK, SignJWT } = await import('jose');
  const now = Math.floor(Date.now() / 1000);
  const sub = stableUuid(subject.email);
  return new SignJWT({
    sub,
    iss: identity.issuer,
    client_id: identity.clientId,
    token_use: 'access',
    scope: subject.scope,
    auth_time: now,
    iat: now,
    exp: now + lifetimeSeconds,
    jti: randomUUID(),
    username: sub,
    email: subject.email,
    ...(subject.tenantId && { tenant_id: subject.tenantId }),
    ...(subject.role && { role: subject.role }),
  })
    .setProtectedHeader({ alg: 'RS256', kid: identity.privateKey.kid! })
    .sign(await importJWK(identity.privateKey, 'RS256'));
}

/** The key of a platform: signs the tokens of its pools, and verifies them. */
export interface SigningKey {
  readonly privateKey: JWK;
  /** @throws jose's errors: the token is not of that issuer, is changed or has expired. */
  verify(token: string, issuer: string): Promise<JWTPayload>;
}

/** A token of a user pool. @param seconds of its validity. */
export async function signPoolToken(
  { privateKey }: Pick<SigningKey, 'privateKey'>,
  seconds: number,
  claims: JWTPayload,
): Promise<string> {
  const { importJWK, SignJWT } = await import('jose');
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...claims, iat: now, exp: now + seconds, jti: randomUUID() })
    .setProtectedHeader({ alg: 'RS256', kid: privateKey.kid! })
    .sign(await importJWK(privateKey, 'RS256'));
}

/** A user keeps the same subject over all tokens and restarts. */
export function stableUuid(email: string): string {
  const hex = createHash('sha256').update(email.toLowerCase()).digest('hex');
  const variant = ((Number.parseInt(hex[16]!, 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
