import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestProject } from 'vitest/node';
import './running-platform.ts';

/** Starts the platform once for all test files of this folder, as `npm start` does. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-test-'));
  // PostgreSQL's own user must reach it.
  chmodSync(stateDir, 0o755);
  const [apiPort, awsPort] = await Promise.all([freePort(), freePort()]);
  const platform = spawn(process.execPath, ['infra/start.ts'], {
    cwd: resolve(import.meta.dirname, '../..'),
    env: {
      ...process.env,
      API_PORT: String(apiPort),
      AWS_PORT: String(awsPort),
      STRATA_DIR: stateDir,
      // Tenants move from one to the other; and what they leave is cleaned up after seconds.
      STRATA_CELLS: 'us=2',
      WAIT_SCALE: '0.005',
      // Everything happens at once on this machine, so a move has no need to wait for a quiet moment.
      MOVE_MAX_PAUSE_MS: '250',
      CDK_OUTDIR: join(stateDir, 'cdk.out'),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await ready(platform);
  project.provide('platform', {
    apiUrl: `http://localhost:${apiPort}`,
    awsUrl: `http://localhost:${awsPort}`,
    stateDir,
  });
  return async () => {
    const ended = new Promise((done) => platform.once('exit', done));
    platform.kill('SIGTERM');
    await ended;
    rmSync(stateDir, { recursive: true, force: true });
  };
}

async function ready(platform: ChildProcess): Promise<void> {
  let printed = '';
  await new Promise<void>((done, failed) => {
    platform.stdout?.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      if (/^ready /m.test(printed)) done();
    });
    platform.once('exit', (code) => failed(new Error(`the platform ended with ${code}:\n${printed}`)));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
