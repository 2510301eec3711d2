import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { readJson } from '../state/state-file.ts';
import type { AcceptedIssuer, SigningIdentity } from './sign-token.ts';

/** The document that the token command reads; without `issuer` nothing has been deployed yet. */
export interface IdentityDocument extends Partial<AcceptedIssuer> {
  privateKey?: JWK;
  /** For every region's API by its URL, home's first; home's values are also the ones above. */
  issuers?: Record<string, AcceptedIssuer & { awsRegion: string; signInClientId?: string }>;
}

export const identityDocumentName = 'identity';

/** The signing key of the platform in that state directory; undefined when none was ever started there. */
export function readIdentity(stateDir: string): Required<IdentityDocument> | undefined {
  const path = join(stateDir, 'state', `${identityDocumentName}.json`);
  const document = existsSync(path) ? readJson<IdentityDocument>(path, {}) : {};
  const { privateKey, issuer, clientId, issuers = {} } = document;
  return privateKey && issuer && clientId ? { privateKey, issuer, clientId, issuers } : undefined;
}

/** With what people sign in to the API at that URL; home's for an unknown API. undefined when its pool has no page. */
export function signInFor(
  identity: Required<IdentityDocument>,
  apiUrl: string | undefined,
): AcceptedIssuer | undefined {
  const { issuer, signInClientId: clientId } = issuerOf(identity, apiUrl) ?? {};
  return issuer && clientId ? { issuer, clientId } : undefined;
}

/** Issuer and client for the API at that URL; home's for an unknown API. */
export function identityFor(
  identity: Required<IdentityDocument>,
  apiUrl: string | undefined,
): SigningIdentity {
  const { issuer, clientId } = issuerOf(identity, apiUrl) ?? identity;
  return { privateKey: identity.privateKey, issuer, clientId };
}

function issuerOf({ issuers }: Required<IdentityDocument>, apiUrl: string | undefined) {
  const address = (url: string) => url.replace('//localhost', '//127.0.0.1').replace(/\/+$/, '');
  const wanted = apiUrl && address(apiUrl);
  const [home] = Object.values(issuers);
  return Object.entries(issuers).find(([url]) => address(url) === wanted)?.[1] ?? home;
}
