import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { CommandError, UsageError } from '../errors.ts';
import { rolloutProgress, rolloutReport } from '../rollouts/rollout-json.ts';
import type { Screen } from '../screen.ts';
import { durationText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

const POLL_MS = 500;

export const rollouts: Command = {
  name: 'rollouts',
  words: '',
  flags: ['start', 'watch', ...LISTING_FLAGS],
  options: { except: 'LIST' },
  summary: 'schema rollouts, newest first; --start begins one, --watch follows the running one',
  async run({ flags, options }, { api, screen }) {
    const except = options.get('except');
    if (except !== undefined && !flags.has('start')) throw new UsageError('--except goes with --start');
    if (flags.has('json') && (flags.has('start') || flags.has('watch'))) {
      throw new UsageError('--json cannot be combined with other flags');
    }
    const client = await api();
    if (flags.has('start')) {
      const left = except?.split(',').map((each) => each.trim()) ?? [];
      const started = await bodyOf(
        client.operations.POST('/rollouts', { body: left.length > 0 ? { except: left } : {} }),
      );
      screen.line(`rollout ${started.rolloutId} to version ${started.schemaVersion} has started`);
      if (!flags.has('watch')) {
        screen.line('watch it with: strata rollouts --watch');
        return true;
      }
      return watchRollout(client, screen, started.rolloutId);
    }
    const found = (await client.all('/rollouts')).reverse();
    if (flags.has('watch')) {
      const running = found.find(({ status }) => status === 'running') ?? found[0];
      if (!running) throw new CommandError('there has been no rollout');
      return watchRollout(client, screen, running.rolloutId);
    }
    showList(screen, flags, found, {
      titles: ['started', 'rollout', 'region', 'status', 'phase', 'time', 'version', 'done', 'failed', 'of'],
      rowOf: (one) => [
        minute(one.startedAt),
        one.rolloutId,
        one.region,
        one.status,
        one.phase,
        timeOf(one),
        one.schemaVersion,
        one.targets.succeeded,
        one.targets.failed,
        one.targets.total,
      ],
    });
    return true;
  },
};

/** Follows a rollout until it ends: one line that is redrawn on a terminal, otherwise one line per change. */
async function watchRollout(api: ApiClient, screen: Screen, rolloutId: string): Promise<boolean> {
  let shown = '';
  for (;;) {
    const rollout = await bodyOf(
      api.operations.GET('/rollouts/{rolloutId}', { params: { path: { rolloutId } } }),
    );
    if (rollout.status !== 'running') {
      const succeeded = rollout.status === 'succeeded';
      for (const line of rolloutReport(rollout)) screen.line(screen.paint(succeeded ? 'green' : 'red', line));
      return succeeded;
    }
    const line = `${rollout.phase}: ${rolloutProgress(rollout)}`;
    if (screen.live) screen.redraw([line]);
    else if (line !== shown) screen.line(line);
    shown = line;
    await delay(POLL_MS);
  }
}

function timeOf({ startedAt, finishedAt }: Schemas['ListedRollout']): string {
  return durationText(((finishedAt ? Date.parse(finishedAt) : Date.now()) - Date.parse(startedAt)) / 1_000);
}
