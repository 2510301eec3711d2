import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

/** The output of a command. */
export interface Screen {
  /** True when lines can be redrawn. */
  readonly live: boolean;
  /** Columns of a terminal. */
  readonly width: number;
  line(text: string): void;
  /** Leaves text unchanged when colours are off: no terminal, or NO_COLOR. */
  paint(style: Style, text: string): string;
  /** Replaces the lines of the last `redraw`. Only when `live`. */
  redraw(lines: readonly string[]): void;
  /** Keeps the drawn lines: the next `redraw` begins below them. */
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
    // It checks the stream, NO_COLOR and FORCE_COLOR itself.
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
