import { type ApiClient, bodyOf, restorePath, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { CommandError, UsageError } from '../errors.ts';
import { watchMove } from '../moves/watch-move.ts';
import { asMove, type Restore, restoredText } from '../restores/restore-json.ts';
import type { Screen } from '../screen.ts';
import { counted, durationText, shownText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

/** How many of the writes that were set aside are shown. */
const SHOWN_WRITES = 10;

export const restore: Command = {
  name: 'restore',
  words: 'SLUG',
  flags: ['mask', 'watch'],
  options: { backup: 'ID', at: 'TIME', mode: 'replace|clone', as: 'SLUG', admin: 'EMAIL' },
  summary:
    'restores a backup, or to a point in time: replaces the tenant’s rows, or clones them into a new tenant',
  async run({ words: [slug = ''], flags, options }, { api, screen }) {
    const [backupId, at] = [options.get('backup'), options.get('at')];
    if ((backupId === undefined) === (at === undefined)) {
      throw new UsageError(
        'give either a backup with --backup ID, or a time with --at, such as 2026-01-31T12:00:00Z; strata backups SLUG lists what there is',
      );
    }
    const mode = options.get('mode') ?? 'replace';
    const [as, admin] = [options.get('as'), options.get('admin')];
    if (mode === 'clone' && !(as && admin)) throw new UsageError('a clone needs --as SLUG and --admin EMAIL');
    // Without this the live rows would be replaced where a clone was meant.
    if (mode !== 'clone' && (as !== undefined || admin !== undefined || flags.has('mask'))) {
      throw new UsageError('--as, --admin and --mask are for --mode clone; nothing was restored');
    }
    const client = await api();
    // The API refuses another mode.
    const request = {
      ...(at === undefined ? { backupId } : { at }),
      mode,
      ...(mode === 'clone' ? { slug: as, adminEmail: admin, mask: flags.has('mask') } : {}),
    } as Schemas['RestoresCreateBody'];
    const body = await bodyOf(
      client.operations.POST('/tenants/{tenantId}/restores', {
        params: { path: { tenantId: slug } },
        body: request,
      }),
    );
    const tenant = as ?? slug;
    screen.line(`restore ${body.restoreId} of ${restoredText(body)} into ${tenant} has started`);
    return followed(client, screen, tenant, body.restoreId, flags.has('watch'));
  },
};

export const undo: Command = {
  name: 'undo',
  words: 'SLUG [RESTOREID]',
  flags: ['watch'],
  summary: 'takes a restore back; without RESTOREID the latest one that can be taken back',
  async run({ words: [slug = '', restoreId], flags }, { api, screen }) {
    const client = await api();
    const chosen = restoreId ?? (await latestUndoable(client, slug));
    const undoing = await bodyOf(
      client.operations.POST('/tenants/{tenantId}/restores/{restoreId}/undo', {
        params: { path: { tenantId: slug, restoreId: chosen } },
        body: {},
      }),
    );
    screen.line(`undo ${undoing.restoreId} of restore ${chosen} of ${slug} has started`);
    return followed(client, screen, slug, undoing.restoreId, flags.has('watch'));
  },
};

export const restores: Command = {
  name: 'restores',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'restores of a tenant, newest first',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await restoresOf(await api(), slug);
    showList(screen, flags, found, {
      titles: ['started', 'restore', 'mode', 'of', 'status', 'phase', 'time', 'set aside', 'can be undone'],
      rowOf: (one) => [
        minute(one.startedAt),
        one.restoreId,
        one.mode,
        restoredText(one),
        one.status,
        one.phase,
        durationText(
          ((one.finishedAt ? Date.parse(one.finishedAt) : Date.now()) - Date.parse(one.startedAt)) / 1_000,
        ),
        one.discarded && counted(one.discarded.writes, 'write'),
        one.canBeUndone ? 'yes' : 'no',
      ],
    });
    return true;
  },
};

async function restoresOf(api: ApiClient, slug: string): Promise<Restore[]> {
  const found = await api.all('/tenants/{tenantId}/restores', { tenantId: slug });
  return found.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
}

/** @throws {CommandError} there is none. */
async function latestUndoable(api: ApiClient, slug: string): Promise<string> {
  const found = (await restoresOf(api, slug)).find(({ canBeUndone }) => canBeUndone);
  if (!found) throw new CommandError(`no restore of ${slug} can be undone`);
  return found.restoreId;
}

async function followed(
  api: ApiClient,
  screen: Screen,
  tenant: string,
  restoreId: string,
  watch: boolean,
): Promise<boolean> {
  if (!watch) {
    screen.line(`see it with: strata restores ${tenant}`);
    return true;
  }
  const path = restorePath(tenant, restoreId);
  const read = (at: string) => api.get<Restore>(at);
  const succeeded = await watchMove(api, screen, {
    tenant,
    path,
    read: async (at) => asMove(await read(at)),
  });
  const { discarded } = await read(path);
  if (discarded && discarded.writes > 0) {
    screen.line(`it has set aside ${counted(discarded.writes, 'later write')}:`);
    for (const { at, actor, action, resourceId } of discarded.latest.slice(0, SHOWN_WRITES))
      screen.line(
        `  ${minute(at)}  ${shownText(`${action} ${resourceId ?? ''}  by ${actor ?? 'the platform'}`)}`,
      );
  }
  return succeeded;
}
