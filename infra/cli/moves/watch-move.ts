import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, ApiError } from '../api-client.ts';
import type { Screen } from '../screen.ts';
import type { Move } from './move-json.ts';
import { moveProgress, phaseChanges } from './move-progress.ts';
import { moveReport } from './move-report.ts';

const POLL_MS = 250;
/** Answers in a row that may fail before watching ends: a deployment or a busy registry passes. */
const PATIENCE = 40;

/**
 * Follows a move until it ends: on a terminal as a view that is drawn again and again, else one line per change.
 * @returns whether the move succeeded
 * @throws the last failure, when the API does not answer for ten seconds
 */
export async function watchMove(
  api: ApiClient,
  screen: Screen,
  { tenant, path }: { tenant: string; path: string },
): Promise<boolean> {
  let before: Move | undefined;
  for (;;) {
    const move = await patiently(() => api.get<Move>(path));
    if (screen.live) {
      const lines = moveProgress(move, { tenant, now: Date.now(), width: screen.width });
      screen.redraw(lines.map(({ text, style }) => (style ? screen.paint(style, text) : text)));
    } else {
      for (const line of phaseChanges(before, move)) screen.line(line);
    }
    if (move.status !== 'running') {
      const succeeded = move.status === 'succeeded';
      screen.line(screen.paint(succeeded ? 'green' : 'red', moveReport(move)));
      return succeeded;
    }
    before = move;
    await delay(POLL_MS);
  }
}

async function patiently<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await ask();
    } catch (cause) {
      // A move that was just asked for may not be there yet; what is refused for good stays refused.
      const lasting = cause instanceof ApiError && ![404, 429, 500, 502, 503, 504].includes(cause.status);
      if (lasting || failures >= PATIENCE) throw cause;
      await delay(POLL_MS);
    }
  }
}
