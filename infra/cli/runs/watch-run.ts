import type { ApiClient } from '../api-client.ts';
import { patiently, pollPause } from '../polling.ts';
import type { Screen } from '../screen.ts';
import { bytesText, counted, durationText, progressBar, shownText } from '../shown-text.ts';

/** A backup or an export, as far as its view minds it. Figures are null until they are known. */
export interface Run {
  status: 'running' | 'succeeded' | 'failed' | 'aborted';
  phase: string;
  reason: string | null;
  /** The total is 0 until the parts are planned. */
  progress: { partsDone: number; partsTotal: number; rowsDone: number; bytesDone: number };
  rows: number | null;
  bytes: number | null;
  startedAt: string;
  finishedAt: string | null;
  expiresAt: string;
}

/**
 * Follows a run until it ends: on a terminal as a view that is drawn again and again, else one line per change.
 * @returns the run as it has ended
 * @throws the last failure, when the API does not answer for ten seconds
 */
export async function watchRun<Watched extends Run>(
  api: ApiClient,
  screen: Screen,
  { tenant, path }: { tenant: string; path: string },
): Promise<Watched> {
  let phase: string | undefined;
  for (;;) {
    const run = await patiently(() => api.get<Watched>(path));
    if (screen.live) screen.redraw([screen.paint('cyan', progressText(run, { tenant, now: Date.now() }))]);
    else if (run.phase !== phase) screen.line(`${tenant}: ${run.phase}`);
    phase = run.phase;
    if (run.status !== 'running') {
      screen.line(screen.paint(run.status === 'succeeded' ? 'green' : 'red', reportText(run)));
      return run;
    }
    await pollPause();
  }
}

/** `acme  copy  [████░░] 40%  12 of 30 parts  1,000 rows  1.2 MB  3.4 s` */
export function progressText(
  { phase, progress, startedAt, finishedAt }: Run,
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

/** How a run that has ended went, in one line. */
export function reportText({ status, startedAt, finishedAt, rows, bytes, expiresAt, reason }: Run): string {
  const seconds = finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000 : 0;
  const parts = [
    `${status} in ${durationText(seconds)}`,
    ...(rows === null ? [] : [counted(rows, 'row')]),
    ...(bytes === null ? [] : [bytesText(bytes)]),
    ...(status === 'succeeded' ? [`kept until ${expiresAt.slice(0, 10)}`] : []),
  ];
  return `${parts.join(', ')}${reason ? `: ${shownText(reason)}` : ''}`;
}
