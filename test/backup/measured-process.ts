import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

/** Prints that the process is ready and waits for a line, which `MeasuredProcess.tell` sends. */
export async function untilTold(): Promise<void> {
  console.log('ready');
  const lines = createInterface({ input: process.stdin });
  await once(lines, 'line');
  lines.close();
  process.stdin.destroy();
}

/** CPU time in milliseconds. */
export function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/** A script with one JSON argument. It prints `ready`, waits for a line, and prints JSON at its end. */
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

  /** Resolves once the script is ready. */
  static async start<Report>(script: string, order: unknown): Promise<MeasuredProcess<Report>> {
    const started = new MeasuredProcess<Report>(script, order);
    await started.#next();
    return started;
  }

  /** Lets the script begin. @returns its output. @throws if it ends without output. */
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
