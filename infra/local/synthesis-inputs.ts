import { createHash } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Nothing that an app reads: what it is made into, what is said about it, and what tries it. */
const IRRELEVANT = new Set(['node_modules', 'cdk.out', 'dist', 'docs', 'test']);
/** Of whoever starts the platform, not of the app: where it listens. */
const PLATFORM_VARIABLES = new Set(['API_PORT', 'AWS_PORT']);

/**
 * SHA-256, in hexadecimal, of all that decides what the project's app synthesizes: its files, the versions of what is
 * installed, Node.js's own, and the environment. Whatever the app does not look at only costs a synth too many.
 */
export function hashSynthesisInputs(
  projectDir: string,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const hash = createHash('sha256');
  const add = (name: string, content: string | Buffer) =>
    hash.update(`${name.length} ${name} ${content.length} `).update(content);
  add('node', process.version);
  for (const [name, value] of Object.entries(environment).sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (value !== undefined && !PLATFORM_VARIABLES.has(name)) add(name, value);
  }
  const files = globSync('**/*', {
    cwd: projectDir,
    exclude: (name) => IRRELEVANT.has(name) || name.startsWith('.'),
  });
  for (const file of [...files, 'node_modules/.package-lock.json'].sort()) {
    const path = join(projectDir, file);
    if (statSync(path, { throwIfNoEntry: false })?.isFile()) add(file, readFileSync(path));
  }
  return hash.digest('hex');
}
