import { CommandError } from '../errors.ts';

/** Claims of an access token, which only the API verifies. */
export interface TokenClaims {
  readonly iss?: string;
  readonly sub?: string;
  readonly email?: string;
  readonly scope?: string;
  readonly tenant_id?: string;
  readonly role?: string;
  /** Epoch seconds. */
  readonly exp?: number;
}

/** @throws {CommandError} the text is no token. */
export function claimsOf(token: string): TokenClaims {
  return part(token, 1) as TokenClaims;
}

/** @throws {CommandError} the text is no token. */
export function headerOf(token: string): { readonly kid?: string } {
  return part(token, 0) as { kid?: string };
}

function part(token: string, index: number): unknown {
  try {
    return JSON.parse(Buffer.from(token.split('.')[index] ?? '', 'base64url').toString('utf8'));
  } catch {
    throw new CommandError('the token is no JSON Web Token');
  }
}
