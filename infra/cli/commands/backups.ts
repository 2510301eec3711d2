import { backupPath, bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { watchRun } from '../runs/watch-run.ts';
import { bytesText, countText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

export const backup: Command = {
  name: 'backup',
  words: 'SLUG',
  flags: ['watch'],
  summary: 'starts a backup of a tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const { backupId } = await bodyOf(
      client.operations.POST('/tenants/{tenantId}/backups', {
        params: { path: { tenantId: slug } },
        body: {},
      }),
    );
    screen.line(`backup ${backupId} of ${slug} has started`);
    if (!flags.has('watch')) {
      screen.line(`see it with: strata backups ${slug}`);
      return true;
    }
    const path = backupPath(slug, backupId);
    const ended = await watchRun<Schemas['Backup']>(client, screen, { tenant: slug, path });
    return ended.status === 'succeeded';
  },
};

const TITLES = [
  'started',
  'backup',
  'tier',
  'status',
  'phase',
  'rows',
  'bytes',
  'kept until',
  'restore drill',
];

export const backups: Command = {
  name: 'backups',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'backups of a tenant that are kept, newest first',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const kept = await client.all('/tenants/{tenantId}/backups', { tenantId: slug });
    kept.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
    showList(screen, flags, kept, {
      titles: TITLES,
      rowOf: (one) => [
        minute(one.startedAt),
        one.backupId,
        one.tier,
        one.status,
        one.phase,
        one.rows === null ? null : countText(one.rows),
        one.bytes === null ? null : bytesText(one.bytes),
        minute(one.expiresAt),
        one.lastDrill && `${one.lastDrill.status} ${minute(one.lastDrill.at)}`,
      ],
    });
    return true;
  },
};
