import { type ApiClient, movePath } from '../api-client.ts';
import type { Command } from '../command.ts';
import { type Move, targetText } from '../moves/move-json.ts';
import { lastMove, movesOf, runningMove, watchMove } from '../moves/watch-move.ts';
import { bytesText, countText, durationText, pauseText, shownJson } from '../shown-text.ts';
import { LISTING_FLAGS, table } from '../table.ts';

const TITLES = ['started', 'tenant', 'move', 'target', 'status', 'phase', 'time', 'pause', 'rows', 'bytes'];
/** Number of tenants whose moves are read at once. */
const AT_ONCE = 8;

export const moves: Command = {
  name: 'moves',
  words: '[SLUG]',
  flags: LISTING_FLAGS,
  summary: 'moves, of all tenants or of one, newest first',
  async run({ words: [slug], flags }, { api, screen }) {
    const client = await api();
    const found = slug === undefined ? await allMoves(client) : (await movesOf(client, slug)).map(of(slug));
    if (flags.has('json'))
      screen.line(shownJson(found.map(({ slug: tenant, move }) => ({ slug: tenant, ...move }))));
    else for (const line of table(TITLES, found.map(row))) screen.line(line);
    return true;
  },
};

interface TenantMove {
  slug: string;
  move: Move;
}

const of = (slug: string) => (move: Move) => ({ slug, move });

async function allMoves(api: ApiClient): Promise<TenantMove[]> {
  const waiting = await api.all('/tenants');
  const found: TenantMove[] = [];
  const worker = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      found.push(...(await movesOf(api, next.slug)).map(of(next.slug)));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return found.sort((a, b) => Date.parse(b.move.startedAt) - Date.parse(a.move.startedAt));
}

function row({ slug, move }: TenantMove): (string | null)[] {
  const { report } = move;
  const end = move.finishedAt ? Date.parse(move.finishedAt) : Date.now();
  const figure = (value: number | null | undefined, text: (value: number) => string) =>
    value === null || value === undefined ? null : text(value);
  return [
    move.startedAt.slice(0, 19).replace('T', ' '),
    slug,
    move.moveId,
    targetText(move.target),
    move.status,
    move.phase,
    durationText((end - Date.parse(move.startedAt)) / 1_000),
    figure(report?.writePauseMs, pauseText),
    figure(report?.rows, countText),
    figure(report?.bytes, bytesText),
  ];
}

export const watch: Command = {
  name: 'watch',
  words: 'SLUG [MOVEID]',
  summary: 'follows a move until it ends; without MOVEID the running or else the latest one',
  async run({ words: [slug = '', moveId] }, { api, screen }) {
    const client = await api();
    const path = movePath(slug, moveId ?? (await lastMove(client, slug)));
    return watchMove(client, screen, { tenant: slug, path });
  },
};

export const abort: Command = {
  name: 'abort',
  words: 'SLUG [MOVEID]',
  summary: 'requests that a move stops and rolls back; without MOVEID the running one',
  async run({ words: [slug = '', moveId] }, { api, screen }) {
    const client = await api();
    const chosen = moveId ?? (await runningMove(client, slug));
    await client.operations.POST('/tenants/{tenantId}/moves/{moveId}/abort', {
      params: { path: { tenantId: slug, moveId: chosen } },
    });
    screen.line(`requested that move ${chosen} of ${slug} stops`);
    return true;
  },
};
