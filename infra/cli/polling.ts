import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-client.ts';

const POLL_MS = 250;
/**
 * Consecutive answers that may fail before watching ends, for example during a deployment or while the registry is busy.
 */
const PATIENCE = 40;

/** The pause between two requests for the watched object. */
export const pollPause = (): Promise<void> => delay(POLL_MS);

/** Repeats the request while the API does not answer, for ten seconds. @throws the last error, or a final refusal. */
export async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await ask();
    } catch (cause) {
      // A new object may not be visible yet; a refusal is final.
      const lasting = cause instanceof ApiError && ![404, 429, 500, 502, 503, 504].includes(cause.status);
      if (lasting || failures >= PATIENCE) throw cause;
      await pollPause();
    }
  }
}
