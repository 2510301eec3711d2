import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { synthesize } from '../../infra/local/index.ts';
import { newDirectory } from './running-fixture.ts';

const root = newDirectory();
const projectDir = join(root, 'project');
const output = join(root, 'cdk.out');
const runs = join(root, 'runs');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const write = (path: string, content: string) => writeFileSync(join(projectDir, path), content);

/** An app that tells of each of its runs, and fails when it is told to. */
beforeEach(() => {
  rmSync(projectDir, { recursive: true, force: true });
  rmSync(output, { recursive: true, force: true });
  mkdirSync(join(projectDir, 'infra', 'test'), { recursive: true });
  mkdirSync(join(projectDir, 'docs'));
  mkdirSync(join(projectDir, 'node_modules'));
  writeFileSync(runs, '');
  write('cdk.json', JSON.stringify({ app: 'node infra/app.mjs' }));
  write('infra/part.txt', '1');
  write('node_modules/.package-lock.json', '{}');
  write(
    'infra/app.mjs',
    `import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
     const part = readFileSync('infra/part.txt', 'utf8');
     appendFileSync(${JSON.stringify(runs)}, part + ' ');
     mkdirSync(process.env.CDK_OUTDIR, { recursive: true });
     writeFileSync(process.env.CDK_OUTDIR + '/manifest.json', part);
     if (process.env.FAILS) throw new Error('the app fails');`,
  );
});

async function runsAfter(environment: Record<string, string> = {}, into = output): Promise<number> {
  Object.assign(process.env, environment);
  try {
    const { signal } = new AbortController();
    await synthesize({ projectDir, output: into, logFile: join(root, 'synth.log'), signal })?.done;
  } finally {
    for (const name of Object.keys(environment)) delete process.env[name];
  }
  return readFileSync(runs, 'utf8').split(' ').length - 1;
}

test('what has not changed is not synthesized again', async () => {
  expect(await runsAfter()).toBe(1);
  appendFileSync(join(projectDir, 'docs', 'guide.md'), 'of no account');
  expect(await runsAfter()).toBe(1);
  expect(readFileSync(join(output, 'manifest.json'), 'utf8')).toBe('1');
});

test.each([
  ['a source', () => write('infra/part.txt', '2')],
  ['a new file', () => write('infra/test/new.mjs', '')],
  ['a hidden file', () => write('infra/test/.env', '')],
  ['one at the top', () => write('.env', '')],
  ['the app’s settings', () => write('cdk.json', JSON.stringify({ app: 'node infra/app.mjs', context: {} }))],
  ['an installed package', () => write('node_modules/.package-lock.json', '{"newer":true}')],
])('%s has changed: it is synthesized again', async (_, change) => {
  await runsAfter();
  change();
  expect(await runsAfter()).toBe(2);
  expect(await runsAfter()).toBe(2);
});

test('what the platform keeps inside the project is no part of it', async () => {
  const inside = join(projectDir, 'state', 'cdk.out');
  mkdirSync(join(projectDir, 'state'));
  expect(await runsAfter({}, inside)).toBe(1);
  write('state/other', 'changes all the time');
  expect(await runsAfter({}, inside)).toBe(1);
});

test('another environment is another assembly, also where cdk.json does not say what the app reads', async () => {
  await runsAfter();
  expect(await runsAfter({ STRATA_REGIONS: 'us,eu' })).toBe(2);
});

describe('where cdk.json says which variables the app reads', () => {
  beforeEach(() => {
    write(
      'cdk.json',
      JSON.stringify({ app: 'node infra/app.mjs', environment: ['FAILS', 'SIZE', 'REGION_*'] }),
    );
  });

  test('another terminal’s variables cause no synth', async () => {
    await runsAfter({ API_PORT: '1', WINDOWID: '1', SHLVL: '1' });
    expect(await runsAfter({ API_PORT: '2', WINDOWID: '2', SSH_TTY: '/dev/pts/1' })).toBe(1);
  });

  test.each(['SIZE', 'REGION_HOME'])('%s is one of them, and causes one', async (name) => {
    await runsAfter({ [name]: '1' });
    expect(await runsAfter({ [name]: '2' })).toBe(2);
    expect(await runsAfter({})).toBe(3);
  });

  test('the app does not see the others, so they cannot decide anything', async () => {
    write(
      'infra/app.mjs',
      `import { mkdirSync, writeFileSync } from 'node:fs';
       mkdirSync(process.env.CDK_OUTDIR, { recursive: true });
       writeFileSync(process.env.CDK_OUTDIR + '/seen.json', JSON.stringify(process.env));`,
    );
    await runsAfter({ SIZE: '3', SHLVL_OF_MINE: '7' });
    const seen = JSON.parse(readFileSync(join(output, 'seen.json'), 'utf8')) as Record<string, string>;
    expect(seen).toMatchObject({ SIZE: '3', PATH: expect.any(String), CDK_OUTDIR: output });
    expect(seen).not.toHaveProperty('SHLVL_OF_MINE');
  });
});

test('an assembly that was not finished is not taken for one', async () => {
  await expect(runsAfter({ FAILS: 'yes' })).rejects.toThrow('the app fails');
  await expect(runsAfter({ FAILS: 'yes' })).rejects.toThrow('the app fails');
  expect(await runsAfter()).toBe(3);
});
