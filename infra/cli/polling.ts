import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-client.ts';

const POLL_MS = 250;
/** Answers in a row that may fail before watching ends: a deployment or a busy registry passes. */
const PATIENCE = 40;

/** Between two looks at what is watched. */
export const pollPause = (): Promise<void> => delay(POLL_MS);

/** Asks again while the API does not answer, for ten seconds. @throws the last failure, or what is refused for good. */
export async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await ask();
    } catch (cause) {
      // What was just asked for may not be there yet; what is refused for good stays refused.
      const lasting = cause instanceof ApiError && ![404, 429, 500, 502, 503, 504].includes(cause.status);
      if (lasting || failures >= PATIENCE) throw cause;
      await pollPause();
    }
  }
}
