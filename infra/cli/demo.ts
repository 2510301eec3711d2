/**
 * `npm run demo`: on a running local platform, shows a tenant that moves up and down all tiers while clients use it.
 * Finds the platform as `npm run strata` does. Exit code 1 when a request failed or a row was lost.
 */
import { ApiClient } from './api-client.ts';
import { DEMO_ADMIN, tellStory } from './demo-story.ts';
import { explainFailure } from './explain-failure.ts';
import { screenOn } from './screen.ts';
import { operatorToken, readSettings, type Settings, signLocally } from './settings.ts';

let settings: Settings | undefined;
try {
  const found = readSettings(process.env);
  settings = found;
  const { failedRequests, lostRows } = await tellStory({
    operator: new ApiClient(found.apiUrl, await operatorToken(found)),
    asAdmin: async (tenantId) => {
      const subject = { tenantId, email: DEMO_ADMIN, role: 'admin', scope: '' };
      return new ApiClient(found.apiUrl, await signLocally(found, subject));
    },
    screen: screenOn(process.stdout),
  });
  process.exit(failedRequests + lostRows === 0 ? 0 : 1);
} catch (cause) {
  console.error(process.env.DEBUG ? cause : explainFailure(cause, settings));
  process.exit(1);
}
