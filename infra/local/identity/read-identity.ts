import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { readJson } from '../state/state-file.ts';
import type { SigningIdentity } from './sign-token.ts';

/** Whose tokens an API accepts, and for which client. */
export interface AcceptedIssuer {
  issuer: string;
  clientId: string;
}

/** The document the token command reads; without `issuer` nothing has been deployed yet. */
export interface IdentityDocument extends Partial<AcceptedIssuer> {
  privateKey?: JWK;
  /** Of every region's API by its URL, home's first; home's are the ones above as well. */
  issuers?: Record<string, AcceptedIssuer & { awsRegion: string }>;
}

export const identityDocumentName = 'identity';

/** What signs tokens of the platform in that state directory; undefined when none was ever started there. */
export function readIdentity(stateDir: string): Required<IdentityDocument> | undefined {
  const path = join(stateDir, 'state', `${identityDocumentName}.json`);
  const document = existsSync(path) ? readJson<IdentityDocument>(path, {}) : {};
  const { privateKey, issuer, clientId, issuers = {} } = document;
  return privateKey && issuer && clientId ? { privateKey, issuer, clientId, issuers } : undefined;
}

/** As whom tokens for the API at that URL are signed: of an API that is not known, as home's. */
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
