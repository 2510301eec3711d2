import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestProject } from 'vitest/node';
import { unusedPorts } from '../local/running-fixture.ts';
import { claimRunDirectory } from '../run-directory.ts';
import './running-platform.ts';

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
  platform.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    if (/^ready /m.test(printed)) writeFileSync(`${stateDir}.ready`, '');
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
