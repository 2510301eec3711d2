import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '../state/state-file.ts';
import { type IdentityDocument, identityDocumentName } from './local-issuer.ts';

/** What signs tokens of the platform in that state directory; undefined when none was ever started there. */
export function readIdentity(stateDir: string): Required<IdentityDocument> | undefined {
  const path = join(stateDir, 'state', `${identityDocumentName}.json`);
  const document = existsSync(path) ? readJson<IdentityDocument>(path, {}) : {};
  const { privateKey, issuer, clientId } = document;
  return privateKey && issuer && clientId ? { privateKey, issuer, clientId } : undefined;
}
