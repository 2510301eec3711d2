import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DeployedStack, freePort, type Platform, startPlatform } from '../../infra/local/index.ts';
import { type FixtureOptions, synthesizeFixture } from './fixture/app.ts';

export interface RunningFixture {
  platform: Platform;
  apiPort: number;
  awsPort: number;
  directory: string;
  stateDir: string;
  log: string[];
  stop(): Promise<void>;
}

/** The fixture app on a platform of its own, in a new directory. */
export async function startFixture(options: Omit<FixtureOptions, 'outdir'> = {}): Promise<RunningFixture> {
  const directory = newDirectory();
  const stateDir = join(directory, 'state');
  const cdkOut = synthesizeFixture({ outdir: join(directory, 'cdk.out'), ...options });
  const [apiPort, awsPort] = await unusedPorts();
  const log: string[] = [];
  try {
    const platform = await startPlatform({
      projectDir: directory,
      stateDir,
      apiPort,
      awsPort,
      waitScale: 0.02,
      cdkOut,
      log: (line) => log.push(line),
    });
    const stop = async () => {
      await platform.stop();
      rmSync(directory, { recursive: true, force: true });
    };
    return { platform, apiPort, awsPort, directory, stateDir, log, stop };
  } catch (cause) {
    rmSync(directory, { recursive: true, force: true });
    throw cause;
  }
}

/** A stack of the assembly, as it stands. */
export function stackNamed({ context }: Platform, name: string, region = 'us-east-1'): DeployedStack {
  const stack = [...context.stacks.values()].find((one) => one.name === name && one.region === region);
  if (!stack) throw new Error(`there is no stack ${name} in ${region}`);
  return stack;
}

/** A new directory that PostgreSQL's user may enter, too, when the tests run as root. */
export function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-test-'));
  chmodSync(directory, 0o755);
  return directory;
}

/** Two loopback ports that were free a moment ago, of those that no outgoing connection is given. */
export async function unusedPorts(): Promise<[number, number]> {
  const first = await freePort(undefined, new Set());
  return [first, await freePort(undefined, new Set([first]))];
}

/** Listens on a port of the system's choice. */
export function occupyPort(): Promise<{ port: number; release(): Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      resolve({ port, release: () => new Promise((done) => server.close(() => done())) });
    });
  });
}
