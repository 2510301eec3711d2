import { movePath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { runningMove } from '../moves/find-move.ts';

export const abort: Command = {
  name: 'abort',
  words: 'SLUG [MOVEID]',
  summary: 'asks a move to stop and roll back; without MOVEID the running one',
  async run({ words: [slug = '', moveId] }, { api, screen }) {
    const client = await api();
    const chosen = moveId ?? (await runningMove(client, slug));
    await client.send('POST', `${movePath(slug, chosen)}/abort`);
    screen.line(`move ${chosen} of ${slug} was asked to stop`);
    return true;
  },
};
