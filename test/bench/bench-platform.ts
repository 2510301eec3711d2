import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { unusedPorts } from '../local/running-fixture.ts';

/** A running local platform with its demo tenants. */
export interface BenchPlatform {
  readonly apiUrl: string;
  readonly awsUrl: string;
  readonly stateDir: string;
  token(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

const PROJECT = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

/** The platform that `API_URL`, `AWS_URL` and `STRATA_DIR` point to, or one started for the purpose. */
export async function benchPlatform(cache: 'on' | 'off' = 'off'): Promise<BenchPlatform> {
  const { API_URL, AWS_URL = 'http://localhost:4566', STRATA_DIR } = process.env;
  if (API_URL && STRATA_DIR) return platformAt(API_URL, AWS_URL, resolve(STRATA_DIR), async () => {});
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-bench-'));
  // PostgreSQL's own user must reach it.
  chmodSync(stateDir, 0o755);
  const [apiPort, awsPort] = await unusedPorts();
  const platform = spawn(process.execPath, ['infra/start.ts'], {
    cwd: PROJECT,
    env: {
      ...process.env,
      STRATA_PITR: 'off',
      STRATA_CACHE: cache,
      API_PORT: String(apiPort),
      AWS_PORT: String(awsPort),
      STRATA_DIR: stateDir,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async () => {
    if (platform.exitCode === null) {
      const ended = once(platform, 'exit');
      platform.kill('SIGTERM');
      await ended;
    }
    rmSync(stateDir, { recursive: true, force: true });
  };
  let printed = '';
  await new Promise<void>((done, failed) => {
    platform.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      if (/^ready /m.test(printed)) done();
    });
    platform.once('exit', (code) => failed(new Error(`the platform ended with ${code}:\n${printed}`)));
  });
  return platformAt(`http://localhost:${apiPort}`, `http://localhost:${awsPort}`, stateDir, stop);
}

function platformAt(
  apiUrl: string,
  awsUrl: string,
  stateDir: string,
  stop: () => Promise<void>,
): BenchPlatform {
  const ports = { API_PORT: new URL(apiUrl).port, AWS_PORT: new URL(awsUrl).port };
  return {
    apiUrl,
    awsUrl,
    stateDir,
    async token(...args) {
      const env = { ...process.env, ...ports, STRATA_DIR: stateDir };
      const { stdout } = await run(process.execPath, ['infra/local/token.ts', ...args], {
        cwd: PROJECT,
        env,
      });
      return stdout.trim();
    },
    stop,
  };
}
