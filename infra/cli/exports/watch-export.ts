import type { ApiClient } from '../api-client.ts';
import { patiently, pollPause } from '../polling.ts';
import type { Screen } from '../screen.ts';
import { bytesText, counted, durationText, progressBar, shownText } from '../shown-text.ts';
import type { Export } from './export-json.ts';

/**
 * Follows an export until it ends: on a terminal as a view that is drawn again and again, else one line per change.
 * @returns the export as it has ended
 * @throws the last failure, when the API does not answer for ten seconds
 */
export async function watchExport(
  api: ApiClient,
  screen: Screen,
  { tenant, path }: { tenant: string; path: string },
): Promise<Export> {
  let phase: string | undefined;
  for (;;) {
    const found = await patiently(() => api.get<Export>(path));
    if (screen.live) screen.redraw([screen.paint('cyan', progressText(found, { tenant, now: Date.now() }))]);
    else if (found.phase !== phase) screen.line(`${tenant}: ${found.phase}`);
    phase = found.phase;
    if (found.status !== 'running') {
      screen.line(screen.paint(found.status === 'succeeded' ? 'green' : 'red', reportText(found)));
      return found;
    }
    await pollPause();
  }
}

/** `acme  write  [████░░] 40%  12 of 30 parts  1,000 rows  1.2 MB  3.4 s` */
export function progressText(
  { phase, progress, startedAt, finishedAt }: Export,
  { tenant, now }: { tenant: string; now: number },
): string {
  const { partsDone, partsTotal, rowsDone, bytesDone } = progress;
  const end = finishedAt ? Date.parse(finishedAt) : now;
  return [
    tenant,
    phase,
    ...(partsTotal === 0
      ? []
      : [
          progressBar(partsDone / partsTotal),
          `${partsDone} of ${counted(partsTotal, 'part')}`,
          counted(rowsDone, 'row'),
          bytesText(bytesDone),
        ]),
    durationText(Math.max(0, end - Date.parse(startedAt)) / 1_000),
  ].join('  ');
}

/** How an export that has ended went, in one line. */
export function reportText({
  status,
  startedAt,
  finishedAt,
  rows,
  bytes,
  expiresAt,
  reason,
}: Export): string {
  const seconds = finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000 : 0;
  const parts = [
    `${status} in ${durationText(seconds)}`,
    ...(rows === null ? [] : [counted(rows, 'row')]),
    ...(bytes === null ? [] : [bytesText(bytes)]),
    ...(status === 'succeeded' ? [`kept until ${expiresAt.slice(0, 10)}`] : []),
  ];
  return `${parts.join(', ')}${reason ? `: ${shownText(reason)}` : ''}`;
}
