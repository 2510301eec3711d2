import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { identifyProcess, internals } from '../../infra/local/index.ts';
import { sampled } from '../full-run.ts';
import { synthesizeFixture } from './fixture/app.ts';
import { newDirectory, occupyPort, unusedPorts } from './running-fixture.ts';

const { claimStateDirectory, prepareStateDirectory } = await internals();

const root = newDirectory();
let cdkOut: string;
let stateDir: string;
let apiPort: number;
let awsPort: number;
const started: Run[] = [];

beforeAll(() => {
  cdkOut = synthesizeFixture({ outdir: join(root, 'cdk.out') });
});
beforeEach(async () => {
  stateDir = join(root, `state-${Math.random().toString(36).slice(2)}`);
  [apiPort, awsPort] = await unusedPorts();
});
afterAll(async () => {
  await Promise.all(
    started.map(({ child }) => child.exitCode ?? (child.kill('SIGINT') && once(child, 'exit'))),
  );
  rmSync(root, { recursive: true, force: true });
});

interface Run {
  child: ChildProcess;
  out: string;
  error: string;
  ended: Promise<number | null>;
}

function run(...flags: string[]): Run {
  const script = join(import.meta.dirname, 'fixture', 'platform-run.ts');
  const child = spawn(process.execPath, [script, cdkOut, ...flags], {
    env: { ...process.env, STRATA_DIR: stateDir, API_PORT: String(apiPort), AWS_PORT: String(awsPort) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const result: Run = { child, out: '', error: '', ended };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    result.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    result.error += text;
  });
  started.push(result);
  return result;
}

async function ready(platform: Run): Promise<{ firstStart: boolean }> {
  await expect
    .poll(() => platform.out.includes('ready ') || platform.error || platform.child.exitCode, {
      timeout: 20_000,
    })
    .toBe(true);
  return JSON.parse(/^ready (.*)$/m.exec(platform.out)![1]!) as { firstStart: boolean };
}

/** It ended with exit code 1 and this one line. */
async function refused(platform: Run, line: RegExp) {
  expect(await platform.ended).toBe(1);
  expect(platform.error.trim().split('\n')).toEqual([expect.stringMatching(line)]);
}

const health = async () => (await fetch(`http://127.0.0.1:${apiPort}/health`)).status;

describe('a platform', () => {
  test('is alone in its state directory; the second one is told so, and the first one is left in peace', async () => {
    const first = run();
    await ready(first);
    const ports = [apiPort, awsPort];
    [apiPort, awsPort] = await unusedPorts();
    await refused(run(), /^another platform \(process \d+\) already runs in .*STRATA_DIR$/);
    [apiPort, awsPort] = ports as [number, number];
    expect(await health()).toBe(201);
    first.child.kill('SIGINT');
    // Pressed twice: the second one waits for the first one's orderly stop.
    first.child.kill('SIGINT');
    expect(await first.ended).toBe(0);
    expect(existsSync(join(stateDir, 'lock.json'))).toBe(false);
  });

  test('recovers at the next start from being killed', async () => {
    const killed = run();
    expect(await ready(killed)).toMatchObject({ firstStart: true });
    process.kill(-killed.child.pid!, 'SIGKILL');
    await killed.ended;
    const next = run();
    expect(await ready(next)).toMatchObject({ firstStart: false });
    expect(next.out).toContain('the last run was killed; recovering');
    expect(await health()).toBe(201);
    next.child.kill('SIGTERM');
    expect(await next.ended).toBe(0);
  });

  test('stops in order while it is still starting', async () => {
    const starting = run();
    await expect.poll(() => starting.out, { timeout: 10_000 }).toContain('deploying');
    starting.child.kill('SIGINT');
    expect(await starting.ended).toBe(0);
    expect(existsSync(join(stateDir, 'lock.json'))).toBe(false);
  });

  test('takes over the lock of a process whose id another process has now', async () => {
    mkdirSync(stateDir);
    chmodSync(stateDir, 0o755);
    prepareStateDirectory(claimStateDirectory(stateDir));
    const stranger = identifyProcess(process.pid)!;
    writeFileSync(
      join(stateDir, 'lock.json'),
      JSON.stringify({ pid: stranger.pid, startTime: 'another time' }),
    );
    const next = run();
    await ready(next);
    next.child.kill('SIGINT');
    expect(await next.ended).toBe(0);
  });

  test('starts over with --fresh', async () => {
    const first = run();
    await ready(first);
    const identity = () => readFileSync(join(stateDir, 'state', 'identity.json'), 'utf8');
    const before = identity();
    process.kill(-first.child.pid!, 'SIGKILL');
    await first.ended;
    writeFileSync(join(stateDir, 'state', 'custom-resources.json'), 'half a docum');
    const next = run('--fresh');
    expect(await ready(next)).toMatchObject({ firstStart: true });
    expect(identity()).not.toBe(before);
    next.child.kill('SIGINT');
    expect(await next.ended).toBe(0);
  });
});

describe('a start that cannot be', () => {
  test.each(sampled(['API_PORT'], ['API_PORT', 'AWS_PORT']))(
    'on a busy %s names port and variable',
    async (variable) => {
      const { port, release } = await occupyPort();
      if (variable === 'API_PORT') apiPort = port;
      else awsPort = port;
      await refused(run(), new RegExp(`^port ${port} is busy: .* with ${variable}$`));
      await release();
    },
  );

  test('in somebody else’s directory leaves it alone, even with --fresh', async () => {
    mkdirSync(stateDir);
    writeFileSync(join(stateDir, 'thesis.tex'), 'precious');
    await refused(run('--fresh'), /holds files that are not Strata's .*choose another STRATA_DIR$/);
    expect(readFileSync(join(stateDir, 'thesis.tex'), 'utf8')).toBe('precious');
  });

  test('on a file says so', async () => {
    writeFileSync(stateDir, '');
    await refused(run(), /^STRATA_DIR .* is not a directory: choose another STRATA_DIR$/);
  });

  test('on damaged state says which file it is', async () => {
    mkdirSync(join(stateDir, 'state'), { recursive: true });
    writeFileSync(join(stateDir, 'strata.json'), '{"format":2}');
    writeFileSync(join(stateDir, 'state', 'identity.json'), '{"priv');
    await refused(run(), /identity\.json is damaged: restore it or start over with --fresh$/);
  });

  test.each(sampled([99], [1, 99]))('on state of another version (%i) says what to do', async (format) => {
    mkdirSync(stateDir);
    writeFileSync(join(stateDir, 'strata.json'), JSON.stringify({ format }));
    await refused(
      run(),
      new RegExp(`^STRATA_DIR .* has format ${format} and this version needs 2: start over with --fresh$`),
    );
  });

  test('without an assembly says what is missing', async () => {
    const whole = cdkOut;
    cdkOut = join(root, 'nowhere');
    await refused(run(), /manifest\.json is missing/);
    cdkOut = whole;
  });
});
