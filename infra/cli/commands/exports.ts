import { bodyOf, exportPath, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { CommandError } from '../errors.ts';
import { downloadArchive } from '../exports/download-archive.ts';
import { watchRun } from '../runs/watch-run.ts';
import { bytesText, countText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

export const exportTenant: Command = {
  name: 'export',
  words: 'SLUG',
  flags: ['watch'],
  options: { out: 'FILE' },
  summary: 'starts an export of all data of a tenant, for the customer; with --out waits and downloads it',
  async run({ words: [slug = ''], flags, options }, { api, screen }) {
    const client = await api();
    const { exportId } = await bodyOf(
      client.operations.POST('/tenants/{tenantId}/exports', {
        params: { path: { tenantId: slug } },
        body: {},
      }),
    );
    screen.line(`export ${exportId} of ${slug} has started`);
    const file = options.get('out');
    if (!flags.has('watch') && file === undefined) {
      screen.line(`see it with: strata exports ${slug}`);
      return true;
    }
    const path = exportPath(slug, exportId);
    const ended = await watchRun<Schemas['LinkedExport']>(client, screen, { tenant: slug, path });
    if (ended.status !== 'succeeded') return false;
    if (file === undefined) return true;
    if (!ended.url || !ended.sha256) throw new CommandError('the export has no link');
    await downloadArchive(ended.url, ended.sha256, file);
    screen.line(`written to ${file}`);
    return true;
  },
};

const TITLES = ['started', 'export', 'status', 'phase', 'as of', 'rows', 'bytes', 'kept until'];

export const exports: Command = {
  name: 'exports',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'exports of a tenant that are kept, newest first',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const kept = await client.all('/tenants/{tenantId}/exports', { tenantId: slug });
    kept.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
    showList(screen, flags, kept, {
      titles: TITLES,
      rowOf: (one) => [
        minute(one.startedAt),
        one.exportId,
        one.status,
        one.phase,
        one.snapshotAt && minute(one.snapshotAt),
        one.rows === null ? null : countText(one.rows),
        one.bytes === null ? null : bytesText(one.bytes),
        minute(one.expiresAt),
      ],
    });
    return true;
  },
};
