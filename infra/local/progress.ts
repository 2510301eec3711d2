/**
 * The progress lines of a start: one per phase, such as `synthesizing the CDK app …  1.9 s`.
 *
 * States: idle → open (the phase's text is written, its line has no end yet) → idle (its duration ends the line). A
 * line that is logged while a phase is open ends the open line first; the phase then gets a complete line when it ends.
 */
export class Progress {
  readonly #write: (text: string) => void;
  #open: string | undefined;

  /** @param write called with pieces of lines, in order */
  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** A line that is not a phase. */
  readonly log = (line: string): void => {
    this.#endLine();
    this.#write(`${line}\n`);
  };

  /** Shows the text at once, runs the work and adds its duration. One phase at a time. */
  async phase<Result>(text: string, work: () => Promise<Result>): Promise<Result> {
    const begun = performance.now();
    this.#endLine();
    this.#open = `${text} …`;
    this.#write(this.#open);
    try {
      const result = await work();
      const duration = `${((performance.now() - begun) / 1000).toFixed(1)} s`;
      this.#write(this.#open === undefined ? `${text} …  ${duration}\n` : `  ${duration}\n`);
      this.#open = undefined;
      return result;
    } catch (cause) {
      this.#endLine();
      throw cause;
    }
  }

  #endLine(): void {
    if (this.#open === undefined) return;
    this.#open = undefined;
    this.#write('\n');
  }
}

/** Progress for a log of complete lines. */
export function progressOf(log: (line: string) => void): Progress {
  let line = '';
  return new Progress((text) => {
    line += text;
    if (!line.endsWith('\n')) return;
    log(line.slice(0, -1));
    line = '';
  });
}
