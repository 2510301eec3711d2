import { createHash } from 'node:crypto';
import { type Dirent, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';

/** Folders at the top of a project: what its app is made into, what is said about it, and what tries it. */
const IRRELEVANT = new Set(['node_modules', 'cdk.out', 'dist', 'docs', 'test']);
/** Of whoever starts the platform, not of the app: where it listens. */
const PLATFORM_VARIABLES = new Set(['API_PORT', 'AWS_PORT']);

/**
 * SHA-256, in hexadecimal, of all that decides what the project's app synthesizes: its files, the versions of what is
 * installed, Node.js's own, and the environment. Whatever the app does not look at only costs a synth too many.
 * @param output where it synthesizes to; what lies around that is no part of the project.
 */
export function hashSynthesisInputs(
  projectDir: string,
  output: string,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const hash = createHash('sha256');
  const add = (name: string, content: string | Buffer) =>
    hash.update(`${name.length} ${name} ${content.length} `).update(content);
  add('node', process.version);
  for (const [name, value] of Object.entries(environment).sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (value !== undefined && !PLATFORM_VARIABLES.has(name)) add(name, value);
  }
  const isPart = (entry: Dirent) =>
    !(entry.isDirectory() && (IRRELEVANT.has(entry.name) || entry.name.startsWith('.'))) &&
    !output.startsWith(join(projectDir, entry.name) + sep);
  const files = readdirSync(projectDir, { withFileTypes: true })
    .filter(isPart)
    .flatMap(({ name }) => [name, ...globSync(`${name}/**/{*,.*}`, { cwd: projectDir })]);
  for (const file of [...files, 'node_modules/.package-lock.json'].sort()) {
    const path = join(projectDir, file);
    if (statSync(path, { throwIfNoEntry: false })?.isFile()) add(file, readFileSync(path));
  }
  return hash.digest('hex');
}
