import { execFile, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { unusedPorts } from '../local/running-fixture.ts';
import { claimRunDirectory } from '../run-directory.ts';
import { UNLIMITED } from './running-platform.ts';

/**
 * Vitest's global setup: starts the platform once for all test files of this folder, as `npm start` does. It becomes
 * ready beside the first tests; those of this folder wait for it (`await-platform.ts`).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await claimRunDirectory();
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-test-'));
  // PostgreSQL's own user must reach it.
  chmodSync(stateDir, 0o755);
  const [apiPort, awsPort] = await unusedPorts();
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
      STRATA_PITR: 'off',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  let isReady = false;
  platform.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    if (isReady || !/^ready /m.test(printed)) return;
    isReady = true;
    void liftLimits(`http://localhost:${apiPort}`, {
      API_PORT: apiPort,
      AWS_PORT: awsPort,
      STRATA_DIR: stateDir,
    }).then(
      () => writeFileSync(`${stateDir}.ready`, ''),
      (error: Error) =>
        writeFileSync(`${stateDir}.ended`, `the demo tenants keep their limits: ${error.stack}`),
    );
  });
  const ended = new Promise<void>((done) => {
    platform.once('exit', (code) => {
      writeFileSync(`${stateDir}.ended`, `the platform ended with ${code}:\n${printed}`);
      done();
    });
  });
  project.provide('platform', {
    apiUrl: `http://localhost:${apiPort}`,
    awsUrl: `http://localhost:${awsPort}`,
    stateDir,
  });
  return async () => {
    platform.kill('SIGTERM');
    await ended;
    rmSync(stateDir, { recursive: true, force: true });
  };
}

/** Of the demo tenants, to which tests send more requests per second than they may. */
async function liftLimits(apiUrl: string, where: Readonly<Record<string, string | number>>): Promise<void> {
  const env = {
    ...process.env,
    ...Object.fromEntries(Object.entries(where).map(([key, value]) => [key, String(value)])),
  };
  const cwd = resolve(import.meta.dirname, '../..');
  const script = ['infra/local/token.ts', '--operator'];
  const { stdout } = await promisify(execFile)(process.execPath, script, { cwd, env });
  for (const slug of ['initech', 'globex', 'acme']) {
    const { status } = await fetch(`${apiUrl}/tenants/${slug}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${stdout.trim()}`, 'content-type': 'application/json' },
      body: JSON.stringify(UNLIMITED),
    });
    if (status !== 200) throw new Error(`PATCH /tenants/${slug} answered ${status}`);
  }
}
