import { createHash } from 'node:crypto';
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { type BuildOptions, build, buildSync } from 'esbuild';
import { type BundledFile, documentFiles, documentFilesMeanwhile, PRINTER } from './document-files.ts';

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
 * Bundles `functions/api/<context>/handler.ts` and `functions/tasks/<name>.ts` in three esbuild passes, each with chunks of
 * its own: the contexts of the data plane, those of the control plane, and the tasks. A chunk for all would hold what any of
 * them needs, and a request that waits for a cold start would load it. A pass takes about a second; a NodejsFunction would
 * take that for each handler.
 * @throws {FunctionBundleError} with esbuild's own messages.
 */
export function bundleFunctions(projectDirectory: string, directory: string): FunctionBundle {
  const { sources, passes, printer } = passesOver(projectDirectory, directory);
  try {
    const outputs = passes.flatMap((options) => buildSync(options).outputFiles);
    const document = documentFiles(projectDirectory, codeOf(buildSync(printer)));
    return written(sources, [...relativeTo(directory, outputs), ...document], directory);
  } catch (error) {
    throw bundleError(error);
  }
}

/**
 * The same in esbuild's own process, concurrently with this one.
 * @throws {FunctionBundleError} with esbuild's own messages.
 */
export async function bundleMeanwhile(projectDirectory: string, directory: string): Promise<FunctionBundle> {
  const { sources, passes, printer } = passesOver(projectDirectory, directory);
  try {
    const [document, ...results] = await Promise.all([
      build(printer).then((printed) => documentFilesMeanwhile(projectDirectory, codeOf(printed))),
      ...passes.map((options) => build(options)),
    ]);
    const outputs = results.flatMap(({ outputFiles }) => outputFiles);
    return written(sources, [...relativeTo(directory, outputs), ...document], directory);
  } catch (error) {
    throw bundleError(error);
  }
}

/** Contexts of the API that serve no tenant's requests. */
const CONTROL_PLANE = ['tenants', 'public'];

function passesOver(projectDirectory: string, directory: string) {
  const root = join(projectDirectory, 'functions');
  const entries = (pattern: string) => globSync(pattern, { cwd: root }).sort();
  const isControlPlane = (context: string) => CONTROL_PLANE.includes(basename(dirname(context)));
  const contexts = entries('api/*/handler.ts');
  const groups = [
    contexts.filter((context) => !isControlPlane(context)),
    contexts.filter(isControlPlane),
    entries('tasks/*.ts'),
  ].filter((group) => group.length > 0);
  const sources = groups.flat();
  if (sources.length === 0) throw new FunctionBundleError(`no function entries under ${root}`);
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
  const printer = {
    ...bundleOptions,
    splitting: false,
    absWorkingDir: root,
    entryPoints: [PRINTER],
    write: false,
  } satisfies BuildOptions;
  return { sources, passes, printer };
}

interface Built {
  readonly outputFiles: readonly { readonly path: string; readonly contents: Uint8Array }[];
}

const codeOf = ({ outputFiles: [output] }: Built): Uint8Array => output?.contents ?? new Uint8Array();

const relativeTo = (directory: string, outputs: Built['outputFiles']): BundledFile[] =>
  outputs.map(({ path, contents }) => ({ path: relative(directory, path), contents }));

function written(sources: string[], files: readonly BundledFile[], directory: string): FunctionBundle {
  const hash = createHash('sha256');
  for (const { path, contents } of files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    hash.update(path).update('\0').update(contents).update('\0');
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, contents);
  }
  const entries = sources.map((source) => source.slice(0, -'.ts'.length).split(sep).join('/'));
  return { directory, hash: hash.digest('hex'), entries: new Set(entries) };
}

function bundleError(error: unknown): FunctionBundleError {
  return error instanceof FunctionBundleError
    ? error
    : new FunctionBundleError((error as Error).message, { cause: error });
}
