import { movePath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { lastMove } from '../moves/find-move.ts';
import { watchMove } from '../moves/watch-move.ts';

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
