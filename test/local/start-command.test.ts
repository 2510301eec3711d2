import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { synthesizeFixture } from './fixture/app.ts';
import { newDirectory, unusedPorts } from './running-fixture.ts';

const project = resolve(import.meta.dirname, '../..');
const root = newDirectory();
const started: ChildProcess[] = [];

beforeAll(() => {
  synthesizeFixture({ outdir: join(root, 'cdk.out') });
});
afterAll(async () => {
  for (const child of started.filter(
    ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
  )) {
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    await ended;
  }
  rmSync(root, { recursive: true, force: true });
});

/** `npm start` with an assembly; resolves with what it printed once it is ready or has ended. */
function start(assembly: string, ...flags: string[]) {
  return startWith({}, assembly, ...flags);
}

async function startWith(variables: Record<string, string>, assembly: string, ...flags: string[]) {
  const [apiPort, awsPort] = await unusedPorts();
  const child = spawn(process.execPath, [join(project, 'infra/start.ts'), ...flags], {
    cwd: root,
    env: {
      ...process.env,
      STRATA_PITR: 'off',
      STRATA_ASSEMBLY: assembly,
      STRATA_DIR: join(root, `state-${started.length}`),
      API_PORT: String(apiPort),
      AWS_PORT: String(awsPort),
      ...variables,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let out = '';
  let error = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    error += text;
  });
  await new Promise<void>((done) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (/^ready .*\n/m.test(out)) done();
    });
    child.once('close', () => done());
  });
  return { out, error, exitCode: child.exitCode, health: () => fetch(`http://127.0.0.1:${apiPort}/health`) };
}

test('STRATA_ASSEMBLY is run as it is, and nothing is synthesized', async () => {
  const { out, health } = await start('cdk.out', '--empty');
  expect(out).toMatch(/^ready API http:\/\/localhost:\d+ {2}AWS http:\/\/localhost:\d+$/m);
  expect((await health()).status).toBe(201);
  // Each phase says what it does and how long that took, before the line that begins with `ready `.
  const lines = out.trim().split('\n');
  expect(lines.at(-1)).toMatch(/^ready /);
  expect(lines.filter((line) => line.endsWith(' s'))).toEqual([
    expect.stringMatching(/^loading the local platform … {2}\d+\.\d s$/),
    expect.stringMatching(/^deploying Home … {2}\d+\.\d s$/),
    expect.stringMatching(/^deploying Api … {2}\d+\.\d s$/),
  ]);
});

test('npm start on the state of an earlier version says so in one line that names --fresh, which then starts over', async () => {
  const directory = join(root, `state-${started.length}`);
  mkdirSync(directory);
  writeFileSync(join(directory, 'strata.json'), '{"format":1}');
  const { out, error, exitCode } = await start('cdk.out', '--empty');
  expect([out, exitCode]).toEqual([expect.not.stringContaining('ready'), 1]);
  expect(error.trim().split('\n')).toEqual([
    `STRATA_DIR ${directory} has format 1 and this version needs 2: start over with --fresh`,
  ]);
  renameSync(directory, join(root, `state-${started.length}`));
  expect((await start('cdk.out', '--empty', '--fresh')).out).toMatch(/^ready /m);
});

test('a STRATA_ASSEMBLY that is no assembly stops the start in one line that names it', async () => {
  const { error } = await start('nowhere', '--empty');
  expect(error.trim().split('\n')).toEqual([expect.stringMatching(/nowhere\/manifest\.json is missing/)]);
});

test('a start says in one line what point-in-time recovery takes, and how to switch it', async () => {
  const on = await startWith({ STRATA_PITR: 'on' }, 'cdk.out', '--empty');
  const lines = on.out.split('\n').filter((line) => line.startsWith('point-in-time recovery'));
  expect(lines).toEqual([
    'point-in-time recovery on: at most 512 MiB a database server, or four times its data; STRATA_PITR=off saves that',
  ]);
  const odd = await startWith({ STRATA_PITR: 'yes' }, 'cdk.out', '--empty');
  expect(odd.error.trim()).toBe('STRATA_PITR is "yes", expected on or off');
});
