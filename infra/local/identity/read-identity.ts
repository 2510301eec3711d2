import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { readJson } from '../state/state-file.ts';
import type { SigningIdentity } from './sign-token.ts';

/** The issuer of an API's tokens, and their client. */
export interface AcceptedIssuer {
  issuer: string;
  clientId: string;
}

/** The document that the token command reads; without `issuer` nothing has been deployed yet. */
export interface IdentityDocument extends Partial<AcceptedIssuer> {
  privateKey?: JWK;
  /** For every region's API by its URL, home's first; home's values are also the ones above. */
  issuers?: Record<string, AcceptedIssuer & { awsRegion: string }>;
}

export const identityDocumentName = 'identity';

/** The signing key of the platform in that state directory; undefined when none was ever started there. */
export function readIdentity(stateDir: string): Required<IdentityDocument> | undefined {
  const path = join(stateDir, 'state', `${identityDocumentName}.json`);
  const document = existsSync(path) ? readJson<IdentityDocument>(path, {}) : {};
  const { privateKey, issuer, clientId, issuers = {} } = document;
  return privateKey && issuer && clientId ? { privateKey, issuer, clientId, issuers } : undefined;
}

/** Issuer and client for the API at that URL; home's for an unknown API. */
export function identityFor(
  identity: Required<IdentityDocument>,
  apiUrl: string | undefined,
): SigningIdentity {
  const address = (url: string) => url.replace('//localhost', '//127.0.0.1').replace(/\/+$/, '');
  const wanted = apiUrl && address(apiUrl);
  const [, accepted = identity] =
    Object.entries(identity.issuers).find(([url]) => address(url) === wanted) ?? [];
  const { issuer, clientId } = accepted;
  return { privateKey: identity.privateKey, issuer, clientId };
}
