import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const PROJECT = resolve(import.meta.dirname, '..');
const SOURCES = ['functions', 'infra', 'workflows', 'package.json', 'cdk.json', 'tsconfig.json'];

/**
 * A copy of this project's sources with the changes that docs/extending.md leads through, as they stand there.
 * @param directory a new one.
 * @throws {Error} a change does not fit the sources.
 */
export function makeExtendedTree(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const filter = (path: string) => !path.endsWith('node_modules');
  for (const source of SOURCES)
    cpSync(join(PROJECT, source), join(directory, source), { recursive: true, filter });
  symlinkSync(join(PROJECT, 'node_modules'), join(directory, 'node_modules'));
  const guide = readFileSync(join(PROJECT, 'docs/extending.md'), 'utf8');
  for (const [, diff] of guide.matchAll(/^```diff\n(.*?)\n```$/gms)) apply(directory, diff as string);
  return directory;
}

/** Synthesizes a tree as it is run on this machine, with the second cell that platforms of tests have. */
export async function synthesizeTree(tree: string, outdir: string): Promise<string> {
  await promisify(execFile)(process.execPath, ['infra/app.ts'], {
    cwd: tree,
    env: {
      ...process.env,
      CDK_OUTDIR: outdir,
      STRATA_NAG: 'off',
      STRATA_CELLS: 'us=2',
      MOVE_MAX_PAUSE_MS: '250',
      DB_PIPELINE: 'on',
      REPLICATION_TLS: 'sslmode=verify-full sslrootcert=ca.crt',
    },
  });
  return outdir;
}

/** A unified diff of one file, whose hunks have no line numbers: each is found by its lines. */
function apply(directory: string, diff: string): void {
  const [from = '', to = '', ...lines] = diff.split('\n');
  const file = join(directory, to.replace(/^\+\+\+ b\//, ''));
  let text = from === '--- /dev/null' ? '' : readFileSync(file, 'utf8');
  for (const hunk of lines
    .join('\n')
    .split(/^@@\n?/m)
    .slice(1)) {
    const changed = hunk.replace(/\n$/, '').split('\n');
    const side = (other: '+' | '-') =>
      changed
        .filter((line) => !line.startsWith(other))
        .map((line) => `${line.slice(1)}\n`)
        .join('');
    const [before, after] = [side('+'), side('-')];
    if (text.split(before).length !== 2 && before !== '')
      throw new Error(`a change of docs/extending.md does not fit ${to}:\n${hunk}`);
    text = before === '' ? after : text.replace(before, () => after);
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
