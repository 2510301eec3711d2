import type { ApiClient } from '../api-client.ts';
import { movePath } from '../api-paths.ts';
import { patiently, pollPause } from '../polling.ts';
import type { Screen } from '../screen.ts';
import { movesOf } from './find-move.ts';
import type { Move } from './move-json.ts';
import { moveProgress, phaseChanges } from './move-progress.ts';
import { moveReport } from './move-report.ts';

/** How long a follow-up move may take to begin. */
const FOLLOW_UP_MS = 60_000;

/**
 * Follows a move until it ends, and then the move that follows it in another region: on a terminal as a view that is drawn again and again, else one line per change.
 * @returns whether the moves succeeded
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
      const followUp = succeeded ? move.report?.followUp : undefined;
      return followUp ? watchFollowUp(api, screen, { tenant, followUp }) : succeeded;
    }
    before = move;
    await pollPause();
  }
}

/** The tenant is where it was asked to go only when this move has ended as well. */
async function watchFollowUp(
  api: ApiClient,
  screen: Screen,
  { tenant, followUp }: { tenant: string; followUp: { region: string; executionArn: string } },
): Promise<boolean> {
  screen.line(`a follow-up move in ${followUp.region} brings the tenant to the place of its tier`);
  const until = Date.now() + FOLLOW_UP_MS;
  for (;;) {
    const moves = await patiently(() => movesOf(api, tenant));
    const next = moves.find(({ executionArn }) => executionArn === followUp.executionArn);
    if (next) return watchMove(api, screen, { tenant, path: movePath(tenant, next.moveId) });
    if (Date.now() >= until) {
      const seconds = FOLLOW_UP_MS / 1_000;
      screen.line(
        screen.paint('red', `the follow-up move has not begun within ${seconds} s: ${followUp.executionArn}`),
      );
      return false;
    }
    await pollPause();
  }
}
