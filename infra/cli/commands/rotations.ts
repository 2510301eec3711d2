import { rotationPath, tenantPath } from '../api-client.ts';
import type { Command } from '../command.ts';
import { patiently, pollPause } from '../polling.ts';
import { counted, shownText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

/** A rotation as the API answers it. */
interface Rotation {
  rotationId: string;
  cause: string;
  status: 'running' | 'succeeded' | 'failed';
  reason: string | null;
  valuesDone: number;
  valuesDamaged: number;
  startedAt: string;
  finishedAt: string | null;
}

export const rotate: Command = {
  name: 'rotate-keys',
  words: 'SLUG',
  flags: ['watch'],
  summary: 'encrypts the encrypted fields of a tenant again, under fresh data keys',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const answer = await client.ask<Rotation>('POST', `${tenantPath(slug)}/key-rotations`, {});
    const rotationId = answer.body?.rotationId ?? answer.location?.split('/').at(-1) ?? '';
    screen.line(`rotation ${rotationId} of ${slug} was requested: it begins within a minute`);
    if (!flags.has('watch')) {
      screen.line(`see it with: strata rotations ${slug}`);
      return true;
    }
    for (;;) {
      const rotation = await patiently(() => client.get<Rotation>(rotationPath(slug, rotationId)));
      if (rotation.status !== 'running') {
        screen.line(screen.paint(rotation.status === 'succeeded' ? 'green' : 'red', reportText(rotation)));
        return rotation.status === 'succeeded';
      }
      await pollPause();
    }
  },
};

/** How a rotation that has ended went, in one line. */
export function reportText({ status, reason, valuesDone, valuesDamaged }: Rotation): string {
  const damaged = valuesDamaged === 0 ? '' : `, ${counted(valuesDamaged, 'value')} could not be opened`;
  return `${status}: ${counted(valuesDone, 'value')} encrypted again${damaged}${reason ? `: ${shownText(reason)}` : ''}`;
}

export const rotations: Command = {
  name: 'rotations',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'rotations of the keys of a tenant, newest first',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const known = await client.list<Rotation>(`${tenantPath(slug)}/key-rotations`);
    known.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
    showList(screen, flags, known, {
      titles: ['started', 'rotation', 'cause', 'status', 'values', 'damaged', 'finished'],
      rowOf: (one) => [
        minute(one.startedAt),
        one.rotationId,
        one.cause,
        one.status,
        String(one.valuesDone),
        String(one.valuesDamaged),
        one.finishedAt && minute(one.finishedAt),
      ],
    });
    return true;
  },
};
