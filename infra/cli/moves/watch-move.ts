import { type ApiClient, movePath } from '../api-client.ts';
import { CommandError } from '../errors.ts';
import { patiently, pollPause } from '../polling.ts';
import type { Screen } from '../screen.ts';
import type { Move } from './move-json.ts';
import { moveProgress, moveReport, phaseChanges } from './move-progress.ts';

/** How long a follow-up move may take to begin. */
const FOLLOW_UP_MS = 60_000;

/**
 * Follows a move until it ends, and then its follow-up move in another region: on a terminal as a view that is redrawn,
 * otherwise one line per change.
 * @returns true when the moves succeeded
 * @throws the last error, when the API does not answer for ten seconds
 */
export async function watchMove(
  api: ApiClient,
  screen: Screen,
  {
    tenant,
    path,
    read = (at) => api.get<Move>(at),
  }: { tenant: string; path: string; read?: (path: string) => Promise<Move> },
): Promise<boolean> {
  let before: Move | undefined;
  for (;;) {
    const move = await patiently(() => read(path));
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

/** The tenant is at the requested target only after this move has ended as well. */
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

/** All moves of a tenant, newest first. */
export async function movesOf(api: ApiClient, slug: string): Promise<Move[]> {
  const moves: Move[] = await api.all('/tenants/{tenantId}/moves', { tenantId: slug });
  return moves.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
}

/** @throws {CommandError} when no move of the tenant runs */
export async function runningMove(api: ApiClient, slug: string): Promise<string> {
  const move = (await movesOf(api, slug)).find(({ status }) => status === 'running');
  if (!move) throw new CommandError(`no move of ${slug} is running`);
  return move.moveId;
}

/**
 * The running move, otherwise the latest one.
 * @throws {CommandError} when the tenant has never moved
 */
export async function lastMove(api: ApiClient, slug: string): Promise<string> {
  const moves = await movesOf(api, slug);
  const move = moves.find(({ status }) => status === 'running') ?? moves[0];
  if (!move) throw new CommandError(`${slug} has never moved`);
  return move.moveId;
}
