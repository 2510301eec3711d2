import { createHash } from 'node:crypto';
import { type Dirent, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';

/** Folders at the top of a project that do not affect its assembly: outputs, documents, tests. */
const IRRELEVANT = new Set(['node_modules', 'cdk.out', 'dist', 'docs', 'test']);
/** Variables of the session and of its user: a process needs them to run, and no assembly depends on them. */
const SESSION_VARIABLES = new Set(['PATH', 'HOME', 'TMPDIR', 'NODE_COMPILE_CACHE', 'NODE_OPTIONS']);

/**
 * The app's environment variables. When cdk.json lists those that its app reads (`environment`), by names or by
 * prefixes such as `STRATA_*`, the app gets only these and the session's, so that no others can affect it.
 */
export function appEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  declared: readonly string[] | undefined,
): Record<string, string> {
  const isDeclared = (name: string) =>
    declared === undefined ||
    declared.some((wish) => (wish.endsWith('*') ? name.startsWith(wish.slice(0, -1)) : name === wish));
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && (SESSION_VARIABLES.has(name) || isDeclared(name))) given[name] = value;
  }
  return given;
}

/**
 * SHA-256, in hexadecimal, of everything that affects what the project's app synthesizes: its files, the installed
 * versions, Node.js's own version, and its variables. Inputs that the app does not read only cause an unnecessary
 * synth.
 * @param output the app's output directory, which is not a part of the project.
 */
export function hashSynthesisInputs(
  projectDir: string,
  output: string,
  environment: Readonly<Record<string, string>>,
): string {
  const hash = createHash('sha256');
  const add = (name: string, content: string | Buffer) =>
    hash.update(`${name.length} ${name} ${content.length} `).update(content);
  add('node', process.version);
  for (const [name, value] of Object.entries(environment).sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (!SESSION_VARIABLES.has(name)) add(name, value);
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
