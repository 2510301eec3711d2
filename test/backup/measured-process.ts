import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

/** Says that the process is ready and waits for a line: the other side of `MeasuredProcess.tell`. */
export async function untilTold(): Promise<void> {
  console.log('ready');
  const lines = createInterface({ input: process.stdin });
  await once(lines, 'line');
  lines.close();
  process.stdin.destroy();
}

/** Milliseconds of processors. */
export function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/** A script with one argument, JSON, that says `ready`, waits for a line, and prints JSON at its end. */
export class MeasuredProcess<Report> {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #next: () => Promise<string>;

  private constructor(script: string, order: unknown) {
    this.#child = spawn(process.execPath, [script, JSON.stringify(order)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
    const lines = this.#lines[Symbol.asyncIterator]();
    this.#next = async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${script} has ended`);
      return value;
    };
  }

  /** Resolves when it is ready. */
  static async start<Report>(script: string, order: unknown): Promise<MeasuredProcess<Report>> {
    const started = new MeasuredProcess<Report>(script, order);
    await started.#next();
    return started;
  }

  /** Lets it begin. @returns what it prints then. @throws where it ends without a word. */
  async tell(): Promise<Report> {
    this.#child.stdin!.write('go\n');
    return JSON.parse(await this.#next());
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}
