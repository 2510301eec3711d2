import type { ApiClient } from '../api-client.ts';
import { patiently, pollPause } from '../polling.ts';
import type { Screen } from '../screen.ts';
import { bytesText, counted, durationText, progressBar, shownText } from '../shown-text.ts';
import { type Backup, shareDone } from './backup-json.ts';

/**
 * Follows a backup until it ends: on a terminal as a view that is drawn again and again, else one line per change.
 * @returns whether it succeeded
 * @throws the last failure, when the API does not answer for ten seconds
 */
export async function watchBackup(
  api: ApiClient,
  screen: Screen,
  { tenant, path }: { tenant: string; path: string },
): Promise<boolean> {
  let phase: string | undefined;
  for (;;) {
    const backup = await patiently(() => api.get<Backup>(path));
    if (screen.live) screen.redraw([screen.paint('cyan', progressText(backup, { tenant, now: Date.now() }))]);
    else if (backup.phase !== phase) screen.line(`${tenant}: ${backup.phase}`);
    phase = backup.phase;
    if (backup.status !== 'running') {
      const succeeded = backup.status === 'succeeded';
      screen.line(screen.paint(succeeded ? 'green' : 'red', reportText(backup)));
      return succeeded;
    }
    await pollPause();
  }
}

/** `acme  copy  [████░░] 40%  12 of 30 parts  1,000 rows  1.2 MB  3.4 s` */
export function progressText(backup: Backup, { tenant, now }: { tenant: string; now: number }): string {
  const { phase, progress, startedAt, finishedAt } = backup;
  const share = shareDone(backup);
  const end = finishedAt ? Date.parse(finishedAt) : now;
  return [
    tenant,
    phase,
    ...(share === undefined
      ? []
      : [
          progressBar(share),
          `${progress.partsDone} of ${counted(progress.partsTotal, 'part')}`,
          counted(progress.rowsDone, 'row'),
          bytesText(progress.bytesDone),
        ]),
    durationText(Math.max(0, end - Date.parse(startedAt)) / 1_000),
  ].join('  ');
}

/** How a backup that has ended went, in one line. */
export function reportText({
  status,
  startedAt,
  finishedAt,
  rows,
  bytes,
  expiresAt,
  reason,
}: Backup): string {
  const seconds = finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000 : 0;
  const parts = [
    `${status} in ${durationText(seconds)}`,
    ...(rows === null ? [] : [counted(rows, 'row')]),
    ...(bytes === null ? [] : [bytesText(bytes)]),
    ...(status === 'succeeded' ? [`kept until ${expiresAt.slice(0, 10)}`] : []),
  ];
  return `${parts.join(', ')}${reason ? `: ${shownText(reason)}` : ''}`;
}
