/**
 * `npm run demo`: on a running local platform, shows a tenant that moves up and down all tiers while it is being used.
 * Honours API_PORT and STRATA_DIR, as `npm start` does. Exit code 1 when a request failed or a row was lost.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type IdentityDocument, identityDocumentName } from '../local/identity/local-issuer.ts';
import { signToken } from '../local/identity/sign-token.ts';
import { readJson } from '../local/state/state-file.ts';
import { ApiClient } from './api-client.ts';
import { Screen } from './demo-screen.ts';
import { DEMO_ADMIN, tellStory } from './demo-story.ts';

const apiUrl = `http://127.0.0.1:${process.env.API_PORT || 3000}`;
const stateDir = resolve(process.env.STRATA_DIR || '.strata');

try {
  const identity = readIdentity();
  const operatorToken = await signToken(identity, {
    email: 'operator@strata.test',
    scope: 'strata/operator',
  });
  const { failedRequests, lostRows } = await tellStory({
    operator: new ApiClient(apiUrl, operatorToken),
    asAdmin: async (tenantId) => {
      const subject = { tenantId, email: DEMO_ADMIN, role: 'admin' as const, scope: '' };
      return new ApiClient(apiUrl, await signToken(identity, subject));
    },
    screen: new Screen(process.stdout),
  });
  process.exit(failedRequests + lostRows === 0 ? 0 : 1);
} catch (error) {
  const { message, cause } = error as Error;
  const refused = (cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED';
  console.error(refused ? `no platform answers at ${apiUrl}: run npm start, or set API_PORT` : message);
  process.exit(1);
}

function readIdentity(): Required<IdentityDocument> {
  const path = join(stateDir, 'state', `${identityDocumentName}.json`);
  if (!existsSync(path))
    throw new Error(`no platform has been started in ${stateDir}: run npm start, or set STRATA_DIR`);
  return readJson<IdentityDocument>(path, {}) as Required<IdentityDocument>;
}
