import { bytesText, counted, durationText, pauseText } from '../amounts.ts';
import { shownText } from '../shown-text.ts';
import type { Move } from './move-json.ts';

/** How a move that has ended went, in one line. */
export function moveReport(move: Move): string {
  const { report, status, startedAt, finishedAt } = move;
  const measured = finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000 : 0;
  const parts = [`${status} in ${durationText(report?.seconds ?? measured)}`];
  if (report && known(report.writePauseMs)) parts.push(`writes paused ${pauseText(report.writePauseMs)}`);
  if (report && known(report.rows)) parts.push(counted(report.rows, 'row'));
  if (report && known(report.bytes)) parts.push(bytesText(report.bytes));
  if (report && known(report.retriedRequests))
    parts.push(`${counted(report.retriedRequests, 'request')} retried`);
  const reason = move.reason ? `: ${shownText(move.reason)}` : '';
  return `${parts.join(', ')}${reason}`;
}

function known<Value>(value: Value | null | undefined): value is Value {
  return value !== null && value !== undefined;
}
