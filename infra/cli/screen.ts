import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

/** Where a command writes to. */
export interface Screen {
  /** Whether lines can be drawn again. */
  readonly live: boolean;
  /** Columns of a terminal. */
  readonly width: number;
  line(text: string): void;
  /** Leaves text as it is where colours are not wanted: no terminal, or NO_COLOR. */
  paint(style: Style, text: string): string;
  /** Writes lines in the place of those of the last `redraw`. Only where `live`. */
  redraw(lines: readonly string[]): void;
  /** What was drawn stays: the next `redraw` begins below it. */
  keep(): void;
}

/** @param stream such as `process.stdout` */
export function screenOn(stream: NodeJS.WriteStream): Screen {
  let drawn = 0;
  return {
    live: stream.isTTY === true,
    get width() {
      return stream.columns ?? 80;
    },
    line(text) {
      drawn = 0;
      stream.write(`${text}\n`);
    },
    // It looks at the stream, at NO_COLOR and at FORCE_COLOR by itself.
    paint: (style, text) => styleText(style, text, { stream }),
    redraw(lines) {
      const back = drawn > 0 ? `\x1b[${drawn}A\x1b[0J` : '';
      stream.write(`${back}${lines.map((line) => `${line}\n`).join('')}`);
      drawn = lines.length;
    },
    keep() {
      drawn = 0;
    },
  };
}
