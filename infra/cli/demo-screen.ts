import { type Move, targetText } from './moves/move-json.ts';
import type { Screen } from './screen.ts';
import { countText, pauseText } from './shown-text.ts';
import { columns } from './table.ts';

export interface LoadNow {
  readonly perSecond: number;
  readonly recentP99Ms: number;
  readonly failed: number;
}

type Stage = Pick<Move, 'phase' | 'status'>;

/** Shows each phase of a move in one line: on a terminal drawn again while it lasts, else told once. */
export class PhaseLines {
  readonly #screen: Screen;
  #stage: string | undefined;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  show({ phase, status }: Stage, load: LoadNow | undefined): void {
    const stage = `${phase} ${status}`;
    const isNew = stage !== this.#stage;
    this.#stage = stage;
    const line = phaseLine({ phase, status }, load);
    if (!this.#screen.live) {
      if (isNew) this.#screen.line(line);
      return;
    }
    // A phase that is over keeps its line.
    if (isNew) this.#screen.keep();
    this.#screen.redraw([line]);
  }
}

function phaseLine({ phase, status }: Stage, load: LoadNow | undefined): string {
  const what = (status === 'running' ? phase : status).padEnd(12);
  if (!load) return `  ${what}`;
  const rate = Math.round(load.perSecond).toString().padStart(5);
  return `  ${what} load ${rate} requests/s, p99 ${Math.round(load.recentP99Ms)} ms, ${load.failed} failed`;
}

/** The figures of the moves' reports. */
export function moveFigures(moves: readonly Move[]): string[] {
  return columns([
    ['move to', 'hops', 'rows', 'seconds', 'write pause', 'requests retried'],
    ...moves.map(({ target, plan, report }) => [
      targetText(target),
      plan.map(({ kind }) => kind).join(' + '),
      countText(report?.rows ?? 0),
      (report?.seconds ?? 0).toFixed(1),
      pauseText(report?.writePauseMs ?? 0),
      String(report?.retriedRequests ?? 0),
    ]),
  ]);
}
