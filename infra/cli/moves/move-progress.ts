import type { Style } from '../screen.ts';
import {
  bytesText,
  counted,
  countText,
  durationText,
  pauseText,
  progressBar,
  shownText,
} from '../shown-text.ts';
import { type Move, type MovePhase, type PlannedHop, placeText, targetText } from './move-json.ts';

export interface ProgressLine {
  text: string;
  style?: Style;
}

export interface ProgressOptions {
  /** The tenant's name on the screen. */
  tenant: string;
  /** Epoch milliseconds. */
  now: number;
  /** Columns of the terminal; longer lines are cut. */
  width: number;
}

const NAME_CELLS = 12;

/** The live view of a move: its hops, their phases, the progress of the running one, and the current pause. */
export function moveProgress(move: Move, { tenant, now, width }: ProgressOptions): ProgressLine[] {
  const end = move.finishedAt ? Date.parse(move.finishedAt) : now;
  const seconds = Math.max(0, end - Date.parse(move.startedAt)) / 1_000;
  const abort = move.status === 'running' && move.abortRequestedAt ? ', abort requested' : '';
  const lines: ProgressLine[] = [
    {
      text: `${tenant} ${move.restores ? `← ${move.restores}` : `→ ${targetText(move.target)}`}  ${move.status}${abort}  ${durationText(seconds)}  ${move.moveId}`,
      style: 'bold',
    },
  ];
  for (const [index, hop] of move.plan.entries()) {
    lines.push({ text: `  ${hop.kind} ${placeText(hop.from)} → ${placeText(hop.to)}` });
    const begun = move.phases.filter((phase) => phase.hop === (hop.hop ?? index));
    for (const phase of begun) lines.push(phaseLine(phase, now, move.status === 'running'));
    if (move.status === 'running') {
      for (const name of phasesToCome(hop, begun)) lines.push({ text: `    · ${name}`, style: 'dim' });
    }
  }
  const known = new Set(move.plan.map((hop, index) => hop.hop ?? index));
  for (const phase of move.phases.filter(({ hop }) => !known.has(hop))) {
    lines.push(phaseLine(phase, now, move.status === 'running'));
  }
  if (move.status === 'running' && move.currentPauseMs) {
    lines.push({ text: `  writes pause for ${pauseText(move.currentPauseMs)}`, style: 'yellow' });
  }
  return lines.map((line) => ({ ...line, text: cut(line.text, width) }));
}

/** One line for each phase that began or ended since the last call. */
export function phaseChanges(before: Move | undefined, move: Move): string[] {
  const seen = new Map(before?.phases.map((phase) => [keyOf(phase), phase.status]));
  return move.phases.flatMap((phase) => {
    const status = seen.get(keyOf(phase));
    const name = move.plan.length > 1 ? `hop ${phase.hop + 1} ${phase.name}` : phase.name;
    const lines: string[] = [];
    if (status === undefined) lines.push(`${name}: begun`);
    if (phase.status === 'done' && status !== 'done') {
      const facts = [durationText(secondsOf(phase, 0)), ...figures(phase)];
      lines.push(`${name}: done in ${facts.join(', ')}`);
    }
    return lines;
  });
}

/** Share of a phase that is done, 0 to 1; undefined when it is not known. */
export function shareDone({ rowsDone, rowsTotal, bytesDone, bytesTotal }: MovePhase): number | undefined {
  // Bytes are more precise, because rows differ in size.
  if (bytesTotal) return Math.min(1, (bytesDone ?? 0) / bytesTotal);
  if (rowsTotal) return Math.min(1, (rowsDone ?? 0) / rowsTotal);
  return undefined;
}

function phaseLine(phase: MovePhase, now: number, running: boolean): ProgressLine {
  const time = durationText(secondsOf(phase, now));
  const name = phase.name.padEnd(NAME_CELLS);
  const facts = [time, ...figures(phase)].join('  ');
  if (phase.status === 'done') return { text: `    ✔ ${name}${facts}`, style: 'green' };
  if (!running) return { text: `    ✘ ${name}${facts}`, style: 'red' };
  const share = shareDone(phase);
  const bar = share === undefined ? '' : `${progressBar(share)}  `;
  return { text: `    ▸ ${name}${bar}${facts}`, style: 'cyan' };
}

function figures(phase: MovePhase): string[] {
  const { rowsDone, rowsTotal, bytesDone, bytesTotal, lagBytes, pauseMs } = phase;
  const found: string[] = [];
  const running = phase.status === 'running';
  // The phase `index` counts indexes and keys, whose number matters only while some are left to build.
  const building = phase.name === 'index';
  if (rowsDone !== null && rowsDone !== undefined && (running || !building)) {
    const of = running && rowsTotal ? ` of ${countText(rowsTotal)}` : '';
    found.push(`${countText(rowsDone)}${of} ${building ? 'pieces' : 'rows'}`);
  }
  if (bytesDone !== null && bytesDone !== undefined) {
    found.push(`${bytesText(bytesDone)}${running && bytesTotal ? ` of ${bytesText(bytesTotal)}` : ''}`);
  }
  if (running && lagBytes !== null && lagBytes !== undefined) found.push(`lag ${bytesText(lagBytes)}`);
  if (pauseMs !== null && pauseMs !== undefined) found.push(`pause ${pauseText(pauseMs)}`);
  return found;
}

function secondsOf({ startedAt, finishedAt }: MovePhase, now: number): number {
  return Math.max(0, (finishedAt ? Date.parse(finishedAt) : now) - Date.parse(startedAt)) / 1_000;
}

/** Phases of a hop after the last one that began, in their order. */
function phasesToCome({ from, to, filling }: PlannedHop, begun: MovePhase[]): string[] {
  // A restore of an isolated tenant stays in its database, with its role.
  const leaves = from.isolationModel !== to.isolationModel || from.cellId !== to.cellId;
  const dedicated = leaves && to.isolationModel === 'dedicated';
  const ownSecret = leaves && to.isolationModel === 'schema';
  const all = [
    ...(dedicated ? ['launch', 'bootstrap'] : []),
    ...(ownSecret ? ['credentials'] : []),
    'prepare',
    ...(filling ? ['fill'] : []),
    ...(ownSecret ? ['proxy'] : []),
    'copy',
    'index',
    'catch-up',
    'cut-over',
    'compare',
    'settle',
  ];
  const last = Math.max(-1, ...begun.map(({ name }) => all.indexOf(name)));
  return all.slice(last + 1);
}

function keyOf({ hop, name, startedAt }: MovePhase): string {
  return `${hop} ${name} ${startedAt}`;
}

/** A wrapped line would break the next redraw. */
function cut(text: string, width: number): string {
  return text.length < width ? text : `${text.slice(0, Math.max(0, width - 2))}…`;
}

/** The outcome of an ended move, in one line. */
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
