import { createHash } from 'node:crypto';
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { type BuildOptions, build, buildSync, type OutputFile } from 'esbuild';

/** All functions of the project, bundled into one directory that every Lambda function shares as its code. */
export interface FunctionBundle {
  readonly directory: string;
  /** SHA-256 of all output: the code's and the migrations' version. */
  readonly hash: string;
  /** Entries without extension, such as `api/people/handler` or `tasks/bootstrap-cell`. */
  readonly entries: ReadonlySet<string>;
}

/** A required entry does not exist, or the code does not bundle. */
export class FunctionBundleError extends Error {
  override name = 'FunctionBundleError';
}

// pg and some SDK parts are CommonJS and call require() for Node's own modules, which an ESM bundle lacks.
const banner =
  "import{createRequire as strataCreateRequire}from'node:module';const require=strataCreateRequire(import.meta.url);";

const http = join(import.meta.dirname, 'builtin-http.cjs');
const pgpass = join(import.meta.dirname, 'no-pgpass.cjs');
const connectionString = join(import.meta.dirname, 'no-connection-string.cjs');

/** The esbuild settings of a function, for any entries. */
export const bundleOptions = {
  outExtension: { '.js': '.mjs' },
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  conditions: ['module'],
  // pg loads it only for its native bindings.
  external: ['pg-native'],
  alias: { http, 'node:http': http, pgpass, 'pg-connection-string': connectionString },
  banner: { js: banner },
  legalComments: 'none',
  logLevel: 'silent',
} satisfies BuildOptions;

/**
 * Bundles `functions/api/<context>/handler.ts` and `functions/tasks/<name>.ts`. The tasks share one esbuild pass and
 * its chunks. Each context of the API has a pass of its own: a chunk that it shared with other entries would hold all
 * that any of them needs, and a request that waits for a cold start would load it. All passes take about a second; a
 * NodejsFunction per handler would take that for each.
 * @throws {FunctionBundleError} with esbuild's own messages.
 */
export function bundleFunctions(projectDirectory: string, directory: string): FunctionBundle {
  const { sources, passes } = passesOver(projectDirectory, directory);
  try {
    return written(
      sources,
      passes.flatMap((options) => buildSync(options).outputFiles),
      directory,
    );
  } catch (error) {
    throw bundleError(error);
  }
}

/**
 * The same in esbuild's own process, concurrently with this one.
 * @throws {FunctionBundleError} with esbuild's own messages.
 */
export async function bundleMeanwhile(projectDirectory: string, directory: string): Promise<FunctionBundle> {
  const { sources, passes } = passesOver(projectDirectory, directory);
  try {
    const results = await Promise.all(passes.map((options) => build(options)));
    return written(
      sources,
      results.flatMap(({ outputFiles }) => outputFiles),
      directory,
    );
  } catch (error) {
    throw bundleError(error);
  }
}

function passesOver(projectDirectory: string, directory: string) {
  const root = join(projectDirectory, 'functions');
  const contexts = globSync('api/*/handler.ts', { cwd: root }).sort();
  const tasks = globSync('tasks/*.ts', { cwd: root }).sort();
  const sources = [...contexts, ...tasks];
  if (sources.length === 0) throw new FunctionBundleError(`no function entries under ${root}`);
  const groups = [...contexts.map((context) => [context]), ...(tasks.length > 0 ? [tasks] : [])];
  const passes = groups.map(
    (entryPoints) =>
      ({
        ...bundleOptions,
        absWorkingDir: root,
        entryPoints,
        outbase: '.',
        outdir: directory,
        write: false,
      }) satisfies BuildOptions,
  );
  return { sources, passes };
}

function written(sources: string[], outputs: readonly OutputFile[], directory: string): FunctionBundle {
  const hash = createHash('sha256');
  for (const { path, contents } of outputs.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    hash.update(relative(directory, path)).update('\0').update(contents).update('\0');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  const entries = sources.map((source) => source.slice(0, -'.ts'.length).split(sep).join('/'));
  return { directory, hash: hash.digest('hex'), entries: new Set(entries) };
}

function bundleError(error: unknown): FunctionBundleError {
  return error instanceof FunctionBundleError
    ? error
    : new FunctionBundleError((error as Error).message, { cause: error });
}
