/** A move as the API tells it, as far as the demo shows it. */
export interface Move {
  readonly moveId: string;
  readonly status: string;
  readonly phase: string;
  readonly reason: string | null;
  readonly target: Readonly<Record<string, string>>;
  readonly plan: readonly { readonly kind: string }[];
  readonly currentPauseMs: number | null;
  readonly report: {
    readonly writePauseMs: number;
    readonly rows: number;
    readonly bytes: number;
    readonly retriedRequests: number;
    readonly seconds: number;
  } | null;
}

export interface LoadNow {
  readonly perSecond: number;
  readonly recentP99Ms: number;
  readonly failed: number;
}

/** One line of what is going on. */
export function moveLine(
  { phase, status }: Pick<Move, 'phase' | 'status'>,
  load: LoadNow | undefined,
): string {
  const what = (status === 'running' ? phase : status).padEnd(12);
  if (!load) return `  ${what}`;
  const rate = Math.round(load.perSecond).toString().padStart(5);
  return `  ${what} load ${rate} requests/s, p99 ${Math.round(load.recentP99Ms)} ms, ${load.failed} failed`;
}

/** Where the demo is shown: a terminal that rewrites its last line, or a file that gets one line per phase. */
export class Screen {
  readonly #out: NodeJS.WriteStream;
  #drawn = false;
  #phase = '';

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  say(line: string): void {
    if (this.#drawn) this.#out.write('\n');
    this.#drawn = false;
    this.#phase = '';
    this.#out.write(`${line}\n`);
  }

  progress(line: string, { phase, status }: Pick<Move, 'phase' | 'status'>): void {
    const now = `${phase} ${status}`;
    if (this.#out.isTTY) {
      // A phase that is over keeps its line.
      if (this.#drawn && now !== this.#phase) this.#out.write('\n');
      this.#out.write(`\r\u001b[K${line}`);
      this.#drawn = true;
    } else if (now !== this.#phase) {
      this.#out.write(`${line}\n`);
    }
    this.#phase = now;
  }

  /** The figures of the moves' reports. */
  table(moves: readonly Move[]): void {
    const rows = [
      ['move to', 'hops', 'rows', 'seconds', 'write pause', 'requests retried'],
      ...moves.map(({ target, plan, report }) => [
        Object.values(target)[0] ?? '',
        plan.map(({ kind }) => kind).join(' + '),
        (report?.rows ?? 0).toLocaleString('en'),
        (report?.seconds ?? 0).toFixed(1),
        `${(report?.writePauseMs ?? 0).toFixed(1)} ms`,
        String(report?.retriedRequests ?? 0),
      ]),
    ];
    const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
    for (const row of rows)
      this.say(
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd(),
      );
  }
}
